SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: apidiff dashboard help check lint vuln tidy licences providers test leftout stress sim sim-long mutants crash processes outages signout listing fuzz soak bench figures cover demo tour browser peers demo-zitadel

LINT := bin/golangci-lint
VULN := bin/govulncheck
FUZZTIME ?= 30s
D ?= 10m
N ?= 1000
SEED ?= 1

# The modules of this repository, and all their packages. Those of peers and tools stand alone.
MODULES := $(shell sed -n 's/^\t\.\//.\//p' go.work)
PACKAGES := ./... $(MODULES:%=%/...)
ALONE := GOWORK=off

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: lint test ## lint and test: what holds at every commit

lint: $(LINT) ## golangci-lint, which vets for Linux, and go vet for macOS and Windows of what programs import
	$(LINT) run $(PACKAGES)
	for os in darwin windows; do GOOS=$$os go vet ./... ./store/bolt/... ./store/postgres/... ./store/redis/... ./cmd/demo/...; done

vuln: $(VULN) ## known defects in what is called; asks vuln.go.dev, or VULNDB, a folder
	@# golang.org/x/vulndb/cmd/indexdb makes such a folder of the data in its module.
	$(VULN) $(if $(VULNDB),-db file://$(abspath $(VULNDB))) $(PACKAGES)

apidiff: ## what changed in the API of each released module since its last tag; with a tag, builds golang.org/x/exp/cmd/apidiff
	.ci/apidiff

tidy: ## go.mod and go.sum of every module as the code needs them
	for dir in . $(MODULES) $(dir $(wildcard peers/*/go.mod)); do (cd $$dir && $(ALONE) go mod tidy); done

licences: ## docs/licences.md: under what terms the modules that are required may be used
	go run ./internal/licences

providers: ## docs/providers.md: how an application is configured for each provider
	go run ./internal/providers/write

test: ## every test under the race detector, then what is too big for it
	go test -race -timeout 10m $(PACKAGES)
	go test -timeout 5m -run HundredThousand ./test
	go test -timeout 5m -run 'TestSimulation' ./internal/testing/sim
	go test -timeout 5m -run 'TestCrash$$' ./internal/testing/processes/crash
	@$(MAKE) --no-print-directory leftout

leftout: ## which tests were left out here, and what to install for them
	@command -v redis-server > /dev/null || \
		echo "LEFT OUT: everything that talks to Redis. On Debian: apt-get install redis-server"
	@command -v initdb > /dev/null || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || \
		echo "LEFT OUT: everything that talks to PostgreSQL. On Debian: apt-get install postgresql"
	@command -v pgbouncer > /dev/null || test -x /usr/sbin/pgbouncer || \
		echo "LEFT OUT: PostgreSQL behind PgBouncer. On Debian: apt-get install pgbouncer"

stress: ## the tests that need no server, twenty times under the race detector
	go test -race -count=20 -timeout 2h \
		$$(go list -f '{{.ImportPath}} {{.Imports}} {{.TestImports}} {{.XTestImports}}' $(PACKAGES) | grep -v internal/testing/servers | cut -d ' ' -f 1)

sim: ## the simulation, 2,000 seeds of one process and as many of several: what make test runs of it
	go test -count=1 ./internal/testing/sim

sim-long: ## the same with N (1000) seeds each, from SEED (1) on
	go test -count=1 -v -timeout 0 -run Simulation ./internal/testing/sim -sim.n $(N) -sim.first $(SEED)

mutants: ## defects planted in a copy, each of which a test must find; LIST=sim or ordinary for one list
	go run ./internal/testing/sim/mutants -list "$(LIST)"

crash: ## kill -9 at N (1000) seeded moments over the durable stores; SEED, STORE, OVERLAP, SERVER=1 choose
	go run ./internal/testing/processes/crash/prove -n $(N) -seed $(SEED) -store "$(STORE)" -overlap "$(OVERLAP)" $(if $(SERVER),-server)

processes: ## three processes on one Redis, then on one PostgreSQL: CALLS (100000) mixed calls on each
	go test -count=1 -v -timeout 0 -run MixedCalls ./internal/testing/processes -processes.calls $(or $(CALLS),100000)

signout: ## a user with N (10000) sessions is signed out everywhere, on Redis and on PostgreSQL
	go test -count=1 -v -timeout 0 -run SignOutEverywhere ./internal/testing/processes -processes.signout $(if $(filter command line,$(origin N)),$(N),10000)

listing: ## N (1000000) sessions listed page by page beside refreshes, on Redis and on PostgreSQL
	go test -count=1 -v -timeout 0 -run TestListing ./internal/testing/processes -processes.listed $(if $(filter command line,$(origin N)),$(N),1000000)

outages: ## the store killed and started again under three processes, ROUNDS (20) times on Redis and on PostgreSQL
	go test -count=1 -v -timeout 0 -run Outage_ ./internal/testing/processes -processes.rounds $(or $(ROUNDS),20)

fuzz: ## every fuzz target for FUZZTIME (30s), with FUZZFLAGS (such as -parallel=1)
	@go test -list '^Fuzz' $(PACKAGES) | \
	awk '/^Fuzz/ { f[n++] = $$1 } /^ok/ { while (n) print f[--n], $$2 }' | { \
		failed=; \
		while read -r target pkg; do \
			echo "$$target of $$pkg"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $(FUZZFLAGS) "$$pkg" < /dev/null || failed="$$failed $$target"; \
		done; \
		if [ -n "$$failed" ]; then echo "findings of:$$failed"; exit 1; fi; \
	}

soak: ## load and faults for D (10m) on STORE (memory), then what has grown
	go test -count=1 -v -timeout 0 -run Soak ./internal/testing/soak -soak.d $(D) -soak.store '$(or $(STORE),memory)'

bench: ## every benchmark
	go test -run '^$$' -bench . -benchmem -timeout 1h $(PACKAGES)

figures: ## what 100,000 and N (1000000) idle sessions weigh, and 100,000 ceilings in one second
	go test -count=1 -v -timeout 30m -run '^TestFigures$$' ./bench -figures -figures.n $(if $(filter command line,$(origin N)),$(N),1000000)

cover: ## coverage of every package by all tests
	go test -coverpkg $$(echo $(PACKAGES) | tr ' ' ,) -coverprofile coverage.out $(PACKAGES)
	go tool cover -func coverage.out | tail -n 1

dashboard: ## docs/dashboard.png, of the demo under load for two minutes; takes prometheus and chromium
	go build -o bin/demo ./cmd/demo
	go run ./observe/prometheus/picture -demo bin/demo -page bin/dashboard.html
	chromium --headless --no-sandbox --hide-scrollbars --screenshot=docs/dashboard.png --window-size=1500,1090 bin/dashboard.html

demo: ## the demo, in a browser
	go run ./cmd/demo

browser: ## the demo in headless Chromium, where there is one
	cd peers/browser && $(ALONE) go test -count=1 -v ./...

peers: ## beside what others wrote: another provider, another verifier
	@for dir in $(filter-out peers/browser/,$(dir $(wildcard peers/*/go.mod))); do \
		echo "$$dir"; \
		(cd "$$dir" && export $(ALONE) && go vet ./... && go test -race ./...); \
	done

demo-zitadel: ## the demo, in a browser, with the provider of zitadel/oidc
	go build -o bin/demo ./cmd/demo
	cd peers/zitadel && $(ALONE) go build -o ../../bin/zitadel ./cmd/provider
	exec bin/zitadel bin/demo

tour: ## the demo, told on the terminal
	go run ./cmd/demo -tour

$(LINT): tools/go.sum
	cd tools && $(ALONE) nice go build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	touch $@

$(VULN): tools/go.sum
	cd tools && $(ALONE) nice go build -o ../$@ golang.org/x/vuln/cmd/govulncheck
	touch $@
