package signals_test

import (
	"context"
	"log"
	"net/http"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/signals"
)

// Okta's Universal Logout signs a user out of the application.
func ExampleNewLogout() {
	var client *tokenward.Client // as tokenward.New made it

	logout, err := signals.NewLogout(client, signals.LogoutConfig{
		Audience: "https://app.example/global-token-revocation",
		Callers:  []signals.Caller{{Issuer: "https://org.okta.com"}},
	})
	if err != nil {
		log.Print(err) // no client: this is an example
		return
	}
	defer logout.Close()
	http.Handle("POST /global-token-revocation", logout)
}

// Security events come by push, or are polled.
func ExampleNewReceiver() {
	var client *tokenward.Client // as tokenward.New made it

	receiver, err := signals.NewReceiver(client, signals.Config{
		Issuer:            "https://transmitter.example",
		Audience:          "https://app.example/events",
		Issuers:           []string{"https://tenant.example/"}, // whose users it may speak of
		Reactions:         map[string]signals.Reaction{signals.CredentialChange: signals.End},
		PushAuthorization: "Bearer PASSWORD",
		Authorization: func(context.Context) (string, error) {
			return "Bearer TOKEN", nil // of the transmitter's OAuth server
		},
		Tell: func(_ context.Context, e signals.Event) error {
			log.Printf("%s ended %d sessions", e.Type, e.Ended)
			return nil
		},
	})
	if err != nil {
		log.Print(err) // no client: this is an example
		return
	}
	defer receiver.Close()
	http.Handle("POST /events", receiver.Push())

	stream, err := receiver.CreateStream(context.Background(), signals.Stream{}) // to be polled
	if err != nil {
		log.Print(err)
		return
	}
	go func() { log.Print(receiver.Poll(context.Background(), stream.Delivery.EndpointURL)) }()
}
