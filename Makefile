# Every target is a line of `make help`.
PG_CONFIG ?= /usr/lib/postgresql/15/bin/pg_config
export PG_CONFIG
# rustup installs cargo there, and a shell that was open before does not have the new PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
WITH_POSTGRES := VOLGUARD_PACKAGE=$(TARGET)/pgrx-package/debug $(TARGET)/debug/with-postgres

.DEFAULT_GOAL := help
.PHONY: help setup build package demo test test-assert soak drill regress bench lint rustfmt clippy rustdoc install clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 13
	@echo
	@echo 'DATABASE_URL makes demo, test and regress use a server of yours; PG_CONFIG names another Postgres than Debian 15.'

setup: ## install what is missing: Debian packages, cargo-pgrx (asks for sudo if it needs it)
	@tests/setup.sh

build: ## compile the extension for tests and the demo, and the private server
	tests/package.sh debug
	cargo build --locked -p volguard-tests --bin with-postgres

package: setup ## compile the extension for use, into target/pgrx-package/release
	tests/package.sh release

demo: setup build ## three volume managers on a private Postgres, one killed, one paused
	cargo build --locked -p volguard --example demo
	$(WITH_POSTGRES) -- $(TARGET)/debug/examples/demo

test: setup ## everything, from nothing; the last line counts
	tests/run.sh

soak: setup build ## long wait queues and a storm of faults, with a verdict; options: make soak SOAK='--seconds 3600'
	cargo build --locked -p volguard-tests --bin soak --bin soak-client
	VOLGUARD_PACKAGE=$(TARGET)/pgrx-package/debug $(TARGET)/debug/soak $(SOAK)

# Each part is also a test, but for Patroni: three rounds, and the fork.
drill: build ## fail-over of three servers with clients at work, by hand and by Patroni; options: make drill DRILL='--help'
	@tests/setup.sh drill
	cargo build --locked -p volguard-tests --bin drill --bin soak-client
	VOLGUARD_PACKAGE=$(TARGET)/pgrx-package/debug $(TARGET)/debug/drill $(DRILL)

test-assert: setup ## golden files, specs and faults on a Postgres with assertions, which is built first
	@tests/setup.sh assert
	tests/assert.sh

regress: build ## golden files and isolation specs; one of them: make regress REGRESS=acquire ISOLATION=
	$(WITH_POSTGRES) -- $(MAKE) -C pg_regress installcheck

# Without options it regenerates the figures and the plot of docs/.
bench: BENCH ?= --out docs/benchmarks
bench: ## what volguard costs beside SQL by hand, etcd and Redis, from a clean checkout; options: make bench BENCH='--help'
	@tests/setup.sh bench
	cargo build --locked --profile bench -p volguard-bench
	$(TARGET)/release/volguard-bench $(BENCH)

lint: rustfmt clippy rustdoc ## rustfmt, clippy, rustdoc: no warning allowed

rustfmt:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings

# The extension's library has the client's name, so that each overwrites the other's pages; the client's are to stay.
rustdoc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps -p volguard-extension --document-private-items
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps -p volguard -p volguard-tests -p volguard-bench

install: package ## put the extension into the Postgres of PG_CONFIG on this machine
	tests/install.sh

clean: ## remove everything that was built here
	cargo clean
	rm -rf pg_regress/results pg_regress/output_iso pg_regress/regression.*
