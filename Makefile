# Motet: everything that a person or CI does with the project. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

LISTEN ?= 127.0.0.1:8080
DATA_DIR ?= ./data
CARGO_PROFILE ?= release
TARGET_DIR ?= target

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: run
run: build ## Build everything and start the server on http://127.0.0.1:8080
	@echo
	@echo "  Open http://$(LISTEN) in a browser, register, and create a document."
	@echo "  Documents and accounts are kept in $(DATA_DIR). Ctrl-C stops the server."
	@echo
	@$(TARGET_DIR)/release/motet serve --listen $(LISTEN) --data-dir $(DATA_DIR)

.PHONY: build
build: web ## Build the release binary with the web application inside
	cargo build --release --locked -p motet-server

.PHONY: web
web: client ## Build the web application
	npm run --silent build -w @motet/web

.PHONY: client
client: node_modules/.package-lock.json ## Build the TypeScript client library
	npm run --silent build -w @motet/client

node_modules/.package-lock.json: package.json package-lock.json packages/*/package.json examples/package.json
	@command -v node >/dev/null || { echo "Node.js 20 or later is needed"; exit 1; }
	npm ci --no-fund --no-audit
	@touch $@

.PHONY: test
test: test-needs test-rust guard test-api test-ts test-interop test-browser ## Install what the tests need, and pass them all

.PHONY: test-needs
test-needs: ## Install what the tests need: Chromium, Valgrind, cargo-nextest, schemathesis, and the services
	scripts/test-needs

.PHONY: services
services: ## Start PostgreSQL, Redis and NATS for tests and benchmarks, if they do not run; install them if need be
	scripts/services

# With all tests, as the Rust tests want it: alone, its dependencies would have other features, and be built
# once more.
.PHONY: test-server
test-server: web ## Build the server that the tests drive
	cargo test --locked --workspace --no-run --quiet

.PHONY: test-rust
test-rust: test-server ## Rust tests: units, laws, contracts, kill test, simulation
	cargo nextest run --locked --workspace
	cargo test --locked --workspace --doc --quiet

.PHONY: guard
guard: ## Count the instructions of the hot paths; fails where they are over a tenth more than before
	scripts/guard

.PHONY: guard-renew
guard-renew: ## Write down what is counted now as what is to be expected from now on
	scripts/guard renew

.PHONY: test-api
test-api: test-server ## Made-up requests from the OpenAPI document against the real server, for two minutes
	scripts/test-api

.PHONY: test-ts
test-ts: test-server ## TypeScript tests: client core, bindings, convergence, traces over real sockets
	npm run --silent test -w @motet/client

.PHONY: test-browser
test-browser: test-server ## Browser tests: the web application in Chromium against the real server
	npm run --silent test -w @motet/web

.PHONY: test-interop
test-interop: test-server ## Other people's clients: Yjs and Hocuspocus providers in Node, the example pages in Chromium
	npm run --silent test -w @motet/interop
	npm run --silent test -w @motet/examples

.PHONY: examples
examples: client ## Serve the example pages while they are worked on, on http://127.0.0.1:5173
	@echo
	@echo "  The server lets these pages in if it was started with"
	@echo "  MOTET_ALLOWED_ORIGINS=http://127.0.0.1:5173 make run"
	@echo
	npm run --silent dev -w @motet/examples

.PHONY: lint
lint: client ## Formatting and lints of both languages; warnings are errors
	scripts/check-layout
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	npx --no-install biome ci .
	npx --no-install tsc -p packages/client --noEmit
	npx --no-install tsc -p packages/web --noEmit
	npx --no-install tsc -p packages/interop --noEmit
	npx --no-install tsc -p examples --noEmit

.PHONY: fmt
fmt: ## Format everything
	cargo fmt --all
	npx --no-install biome check --write .

.PHONY: sim
sim: client ## Simulate many seeds: make sim SEEDS=100000, or replay one: make sim SEED=42
	cargo run --release --locked -p motet-sim -- $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10000))

.PHONY: chaos
chaos: ## Nodes while everything fails, on services of its own: make chaos MINUTES=60, or one seed's plan: make chaos SEED=42
	@# Not with nextest, which stops a test after minutes.
	MOTET_CHAOS_MINUTES=$(or $(MINUTES),$(if $(SEED),2,10)) $(if $(SEED),MOTET_CHAOS_SEED=$(SEED)) \
	  cargo test --locked --workspace --test server chaos:: -- --nocapture

.PHONY: merges
merges: ## Simulate many offline merges: make merges MERGES=1000000, or replay one: make merges MERGE=42
	cargo run --release --locked -p motet-sim -- --merges $(if $(MERGE),--seed $(MERGE),--seeds $(or $(MERGES),100000))

.PHONY: placement
placement: ## Model a fleet for millions of people, as docs/scaling.md has it: make placement PARTS="fleets storms" SEED=2
	cargo run --release --locked -p motet-sim --bin motet-placement -- $(PARTS) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: build services ## Benchmarks: per operation, through the document and the logs, and end to end on loopback
	cargo bench --locked -p motet-ot -p motet-document -p motet-log -p motet-server --benches
	cargo build --release --locked -p motet-bench
	$(TARGET_DIR)/release/motet-bench run --server $(TARGET_DIR)/release/motet --editors 2,10,100 --pin false

.PHONY: bench-peers
bench-peers: ## Install the servers of others that ours is measured beside
	cd bench/peers && npm ci

.PHONY: bench-load
bench-load: build ## What servers bear: make bench-load AGAINST=motet,hocuspocus ARGUMENTS="--editors 100"
	cargo build --release --locked -p motet-bench
	$(TARGET_DIR)/release/motet-bench search --server $(TARGET_DIR)/release/motet \
	  --against $(or $(AGAINST),motet) --json bench-load.json --html bench-load.html $(ARGUMENTS)

.PHONY: bench-crdt
bench-crdt: ## The document engine beside yrs, loro and diamond-types: make bench-crdt MOTET_TRACES=FOLDER
	cargo run --release --locked --manifest-path bench/crdt/Cargo.toml --target-dir $(TARGET_DIR)/bench-crdt -- \
	  --traces $(MOTET_TRACES)

.PHONY: sessions
sessions: client ## Many random sessions with Yjs and yrs: make sessions SESSIONS=1000000
	@# Not with nextest, which stops a test after minutes.
	MOTET_SESSIONS=$(or $(SESSIONS),100000) cargo test --release --locked -p motet-crdt --test yjs --test yrs

.PHONY: fuzz
fuzz: ## Fuzz all decoders with coverage, a minute for each target: make fuzz SECONDS=3600
	for target in apply merge load messages operations frames batches records; do \
	  scripts/fuzz $$target $(or $(SECONDS),60) || exit 1; done

.PHONY: vectors
vectors: node_modules/.package-lock.json ## Make vectors/ anew by running quill-delta
	node scripts/make-delta-vectors.mjs

.PHONY: clean
clean: ## Remove what was built
	cargo clean
	rm -rf node_modules packages/*/dist examples/dist
