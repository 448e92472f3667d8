package otelobserve_test

import (
	"context"
	"fmt"

	"github.com/tokenward/tokenward"
	otelobserve "github.com/tokenward/tokenward/observe/otel"
)

func ExampleNew() {
	o, err := otelobserve.New() // the global providers; see WithMeterProvider, WithTracerProvider
	if err != nil {
		panic(err)
	}
	client, err := tokenward.New(tokenward.Config{
		Issuer: "https://id.example", ClientID: "app", ClientSecret: "s3cret", RedirectURI: "https://app.example/auth/callback",
		Secrets: []string{"thirty-two bytes or more, and random"},
	}, tokenward.WithObserver(o))
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background()) //nolint:errcheck // the example ends here
	fmt.Println(client)
	// Output: tokenward.Client{Issuer: "https://id.example", ClientID: "app"}
}
