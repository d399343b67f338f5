# `make test` is the whole check, also in continuous integration (.ci/run).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := test

TOOLS := .tools
CRASH_ROUNDS ?= 100
CARGO_DENY := 0.20.2

.PHONY: test tools check stack soak bench demo

## Everything: format, lints, documentation, boards and deployment, unit tests, black-box tests, the
## real clients and servers.
test: tools check stack
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

## Boards, rules and everything in deploy/, held against real servers and validators. What needs a
## running sidecar is in tests/stack.rs.
stack: tools
	@cargo build --locked --quiet
	@python3 dashboards/build.py --check
	@python3 tests/boards/check_static.py
	@python3 tests/boards/check_rules.py
	@python3 tests/boards/fleet.py check
	@node tests/boards/render/check_types.mjs --modules $(TOOLS)/boards
	@python3 tests/boards/fleet.py draw --modules $(TOOLS)/boards --out target/boards
	@tests/deploy/run.sh target/debug/weighbridge

## The real clients that tests/clients.rs runs and the packages that draw the boards, at the versions
## of the lock files; the servers that the tests run, as the system has them.
tools: $(TOOLS)/npm.installed $(TOOLS)/python.installed $(TOOLS)/boards.installed servers

$(TOOLS)/npm.installed: tests/clients/package.json tests/clients/package-lock.json
	@mkdir -p $(TOOLS)
	@cp $^ $(TOOLS)/
	@cd $(TOOLS) && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $@

$(TOOLS)/python.installed: tests/clients/requirements.lock
	@python3 -m venv $(TOOLS)/venv
	@$(TOOLS)/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(TOOLS)/boards.installed: tests/boards/render/package.json tests/boards/render/package-lock.json
	@mkdir -p $(TOOLS)/boards
	@cp $^ $(TOOLS)/boards/
	@cd $(TOOLS)/boards && npm ci --legacy-peer-deps --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $@

# Debian's packages. What they start as services is not used and is stopped where it was started here.
SERVERS := prometheus prometheus-alertmanager chromium
.PHONY: servers
servers:
	@missing=""; for program in $(SERVERS); do \
	  command -v $$program >/dev/null || missing="$$missing $$program"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; \
	  apt-get update -qq; \
	  printf '#!/bin/sh\nexit 101\n' > $(TOOLS)/policy-rc.d; chmod +x $(TOOLS)/policy-rc.d; \
	  if [ ! -e /usr/sbin/policy-rc.d ]; then \
	    cp $(TOOLS)/policy-rc.d /usr/sbin/policy-rc.d; \
	    trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
	  fi; \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

# Advisories are left out: their database is not on a package registry.
$(TOOLS)/bin/cargo-deny:
	@cargo install cargo-deny --version $(CARGO_DENY) --locked --quiet --root $(TOOLS)

## Long runs: `kill -9` under load, $(CRASH_ROUNDS) times; a collector that is down for a minute at 500
## calls a second.
soak:
	@WEIGHBRIDGE_OUTAGE_SECONDS=60 WEIGHBRIDGE_OUTAGE_RATE=500 cargo test --locked \
	  --test otlp a_long_outage -- --nocapture
	@if cargo nextest --version >/dev/null 2>&1; then \
	  WEIGHBRIDGE_CRASH_ROUNDS=$(CRASH_ROUNDS) cargo nextest run --locked --profile soak --test faults a01_; \
	else \
	  WEIGHBRIDGE_CRASH_ROUNDS=$(CRASH_ROUNDS) cargo test --locked --test faults a01_; \
	fi

## Criterion for meter, charge and append; then the release binary beside a bare pass-through and
## nginx, in one interleaved run that writes docs/performance.md, and beside a bare server for hooks.
bench:
	@cargo bench --locked --bench meter --bench charge --bench append
	@cargo build --release --locked
	@WEIGHBRIDGE_BIN=target/release/weighbridge cargo bench --locked --bench gate -- --write-docs
	@WEIGHBRIDGE_BIN=target/release/weighbridge cargo bench --locked --bench hooks -- --write-docs

## A simulated API, simulated teams and real proxied traffic, then the report.
demo:
	@cargo run --locked --quiet -- demo
