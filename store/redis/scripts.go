package redis

import (
	"embed"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// script is one operation as the server runs it. The name of its file says which.
type script string

const (
	opening      script = "open"
	load         script = "load"
	replace      script = "replace"
	update       script = "update"
	end          script = "end"
	endAll       script = "end_all"
	touch        script = "touch"
	begin        script = "begin"
	renew        script = "renew"
	release      script = "release"
	clearIntent  script = "clear_intent"
	staleIntents script = "stale_intents"
	find         script = "find"
	due          script = "due"
	claim        script = "claim"
	listing      script = "list"
)

// library is what every script begins with.
const library = "lib"

// compiled is a script, and its text.
type compiled struct {
	*goredis.Script
	text string
}

// scripts returns all scripts, each after the library and what goes between the two.
func scripts(between string) map[script]compiled {
	files, err := sources.ReadDir("lua")
	if err != nil {
		panic(err) // they are part of the program
	}
	all := make(map[script]compiled, len(files)-1)
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".lua"); name != library {
			text := source(library) + between + source(name)
			all[script(name)] = compiled{goredis.NewScript(text), text}
		}
	}
	return all
}

func source(name string) string {
	b, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return string(b)
}
