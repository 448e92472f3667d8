package postgres_test

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

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

// A host that has a pool gives it to the store. Its application may run no DDL, so its team applies the migrations.
func ExampleNew() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	s, err := postgres.New(ctx, pool, postgres.Schema("sessions"), postgres.NoDDL())
	if err != nil {
		fmt.Println(err) // names the migrations that lack
		return
	}
	defer func() { _ = s.Close() }() // the pool stays open
	// tokenward.New(config, tokenward.WithStateStore(s), tokenward.WithTransactionStore(s.Transactions()))
}

// The migrations as files, for a tool that applies them.
func ExampleMigrations() {
	all, err := postgres.Migrations("sessions")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range all {
		fmt.Printf("%s.sql, %t\n", m.Name, m.SQL != "")
	}
	// Output:
	// 0001_tables.sql, true
	// 0002_functions.sql, true
	// 0003_tries.sql, true
	// 0004_endings.sql, true
}
