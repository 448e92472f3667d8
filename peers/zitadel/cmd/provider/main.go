// Command provider runs an OpenID provider on loopback, the example server of
// zitadel/oidc, and with it a command that is told of it:
//
//	provider [flags] [command [argument ...]]
//
// The command gets the flags -issuer, -client-id and -client-secret, and the provider
// ends with it. Without a command it serves until it is interrupted.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/tokenward/tokenward/peers/zitadel"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9998", "loopback `address` to listen on; port 0 picks a free one")
	app := flag.String("app", "http://127.0.0.1:8080", "`URL` of the application; its callback is this + /auth/callback")
	path := flag.String("path", "", "`path` of the issuer, such as /tenants/one")
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	code, err := run(zitadel.Settings{Listen: *listen, App: *app, Path: *path}, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// run serves, for the time of the command where there is one. It returns the exit code.
func run(s zitadel.Settings, command []string) (code int, err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p, err := zitadel.Start(s)
	if err != nil {
		return 2, err
	}
	defer func() {
		if failed := p.Close(); failed != nil {
			code, err = max(code, 1), errors.Join(err, failed)
		}
	}()
	fmt.Printf("provider on %s\nsign in as %s, password %s\n", p.Issuer, zitadel.Username, zitadel.Password)
	if len(command) == 0 {
		<-signals
		return 0, nil
	}
	args := append(command[1:], "-issuer", p.Issuer, "-client-id", zitadel.ClientID, "-client-secret", zitadel.ClientSecret)
	cmd := exec.Command(command[0], args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 2, err
	}
	go func() {
		for sig := range signals {
			if sig == os.Interrupt {
				continue // a terminal sends it to both of us
			}
			if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
