package postgres_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tokenward/tokenward/store/postgres"
)

// The sessions and the login transactions of any number of processes, in one database.
func Example() {
	s, err := postgres.Open(context.Background(), os.Getenv("DATABASE_URL"), postgres.Schema("sessions"))
	if err != nil {
		fmt.Println(err) // says what is wrong, and holds no password
		return
	}
	defer func() { _ = s.Close() }()
	// tokenward.New(config, tokenward.WithStateStore(s), tokenward.WithTransactionStore(s.Transactions()))
}
