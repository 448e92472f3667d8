package redis_test

import (
	"context"
	"log"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/store/redis"
)

// A host that has a client of Sentinel gives it to the store, which connects as that client does.
func ExampleNew() {
	ctx := context.Background()
	client := goredis.NewUniversalClient(&goredis.UniversalOptions{
		MasterName: "main", Addrs: []string{"10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"},
	})
	defer func() { _ = client.Close() }()
	states, err := redis.New(ctx, client)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = states.Close() }() // before the client
	// tokenward.New(config, tokenward.WithStateStore(states))
}
