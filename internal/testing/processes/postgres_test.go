package processes_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/servers"
)

// Committed data outlives a kill of all the server's processes, and a paused server
// goes on where it was.
func TestPostgres(t *testing.T) {
	p := servers.NewPostgres(t)
	url := p.NewDatabase(t)
	exec := func(sql string) error {
		ctx, cancel := clock.WithTimeout(t.Context(), clock.System(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		_, err = conn.Exec(ctx, sql)
		return err
	}
	if err := exec("CREATE TABLE kept (x int)"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p.Kill()
		if err := exec("SELECT"); err == nil {
			t.Error("a killed server answers")
		}
		if err := p.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := exec("INSERT INTO kept VALUES (1)"); err != nil {
			t.Errorf("after a kill and a restart: %v", err)
		}
	}
	p.Pause()
	if err := exec("SELECT"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server: err = %v, want %v", err, context.DeadlineExceeded)
	}
	p.Resume()
	p.Stop()
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := exec("INSERT INTO kept VALUES (1)"); err != nil {
		t.Errorf("after a stop and a restart: %v", err)
	}
}
