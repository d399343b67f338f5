# `make test` is the whole check, also in continuous integration (.ci/run).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := test

TOOLS := .tools
CRASH_ROUNDS ?= 100
CARGO_DENY := 0.20.2

.PHONY: test tools check soak bench demo

## Everything: format, lints, documentation, unit tests, black-box tests, the real clients.
test: tools check
	@cargo test --doc --locked --quiet
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --locked --features real-clients; \
	else \
	  cargo test --locked --features real-clients --all-targets; \
	fi

## Format and lints; bans, licences and sources of everything that is built.
check: $(TOOLS)/bin/cargo-deny
	@cargo fmt --all -- --check
	@cargo clippy --locked --all-targets --features real-clients -- -D warnings
	@cargo fetch --locked --quiet
	@$< --offline --log-level error check bans licenses sources

## The real clients that tests/clients.rs runs, at the versions of the lock files.
tools: $(TOOLS)/npm.installed $(TOOLS)/python.installed

$(TOOLS)/npm.installed: tests/clients/package.json tests/clients/package-lock.json
	@mkdir -p $(TOOLS)
	@cp $^ $(TOOLS)/
	@cd $(TOOLS) && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $@

$(TOOLS)/python.installed: tests/clients/requirements.lock
	@python3 -m venv $(TOOLS)/venv
	@$(TOOLS)/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Advisories are left out: their database is not on a package registry.
$(TOOLS)/bin/cargo-deny:
	@cargo install cargo-deny --version $(CARGO_DENY) --locked --quiet --root $(TOOLS)

## Long runs: `kill -9` under load, $(CRASH_ROUNDS) times.
soak:
	@if cargo nextest --version >/dev/null 2>&1; then \
	  WEIGHBRIDGE_CRASH_ROUNDS=$(CRASH_ROUNDS) cargo nextest run --locked --profile soak --test crash; \
	else \
	  WEIGHBRIDGE_CRASH_ROUNDS=$(CRASH_ROUNDS) cargo test --locked --test crash; \
	fi

## Criterion for meter, charge and append; then the release binary beside a bare pass-through and
## nginx, in one interleaved run that writes docs/performance.md.
bench:
	@cargo bench --locked --bench meter --bench charge --bench append
	@cargo build --release --locked
	@WEIGHBRIDGE_BIN=target/release/weighbridge cargo bench --locked --bench gate -- --write-docs

## A simulated API, simulated teams and real proxied traffic, then the report.
demo:
	@cargo run --locked --quiet -- demo
