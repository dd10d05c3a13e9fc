# Every target is a line of `make help`.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
# The major of Postgres: 15 is Debian's, the others are fetched into the target directory.
ifndef PG
PG := $(if $(PG_CONFIG),$(shell $(PG_CONFIG) --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/'),15)
endif
FETCHED := $(TARGET)/postgres-$(PG)/installation/bin/pg_config
PG_CONFIG ?= $(if $(filter 15,$(PG)),/usr/lib/postgresql/15/bin/pg_config,$(FETCHED))
export PG PG_CONFIG
# rustup installs cargo there, and a shell that was open before does not have the new PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Asked for when it is used: before `make setup` there may be no Postgres.
PACKAGES = $$(tests/package.sh where)
WITH_POSTGRES = VOLGUARD_PACKAGE=$(PACKAGES)/debug $(TARGET)/debug/with-postgres

# In an archive of a release `make` builds, as archives do.
.DEFAULT_GOAL := $(if $(wildcard .git),help,all)
.PHONY: help postgres setup build all release package demo recording test conformance test-languages test-assert test-packages test-tooz soak drill regress bench lint rustfmt clippy rustdoc install clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo 'PG=16, 17 or 18 takes that Postgres, which is fetched, for build, demo, test, regress, soak and drill.'
	@echo 'PG_CONFIG names any other installation with headers, from 15 to 18.'
	@echo 'DATABASE_URL makes demo, test and regress use a server of yours.'

postgres:
	$(if $(filter $(FETCHED),$(PG_CONFIG)),@tests/postgres.sh $(PG),@:)

setup: postgres ## install what is missing: Debian packages, cargo-pgrx (asks for sudo if it needs it)
	@tests/setup.sh

build: postgres ## compile the extension for tests and the demo, and the private server
	tests/package.sh debug >/dev/null
	cargo build --locked -p volguard-tests --bin with-postgres

# By this name clients of PGXN build.
all: release

release: ## compile the extension for use; needs cargo, cargo-pgrx and the headers of the server
	packaging/release.sh

package: postgres ## make the Debian package of the extension, in target/packages
	packaging/deb/build.sh

demo: setup build ## an API and three volume managers on a private Postgres, two killed, one paused
	cargo build --locked -p volguard --example demo
	$(WITH_POSTGRES) -- $(TARGET)/debug/examples/demo

recording: setup build ## the recording of the demo that the README shows: docs/demo.svg
	cargo build --locked -p volguard --example demo
	$(WITH_POSTGRES) -- docs/record.py docs/demo.svg -- $(TARGET)/debug/examples/demo --operations 150 --seed 7

test: setup ## everything, from nothing; the last line counts
	tests/run.sh $(PG)

soak: setup build ## long wait queues and a storm of faults, with a verdict; options: make soak SOAK='--seconds 3600'
	cargo build --locked -p volguard-tests --bin soak --bin soak-client
	VOLGUARD_PACKAGE=$(PACKAGES)/debug $(TARGET)/debug/soak $(SOAK)

# Each part is also a test, but for Patroni: three rounds, and the fork.
drill: build ## fail-over of three servers with clients at work, by hand and by Patroni; options: make drill DRILL='--help'
	@tests/setup.sh drill
	cargo build --locked -p volguard-tests --bin drill --bin soak-client
	VOLGUARD_PACKAGE=$(PACKAGES)/debug $(TARGET)/debug/drill $(DRILL)

# The server is private, and so is PgBouncer.
conformance: build ## check a program in any language: make conformance COMMAND='python3 manager.py' [ROUTE=pgbouncer]
	@cargo build --quiet --locked -p volguard-tests --bin conformance
	@VOLGUARD_PACKAGE=$(PACKAGES)/debug $(TARGET)/debug/conformance --route $(or $(ROUTE),direct) $(CONFORMANCE) -- "$(COMMAND)"

test-languages: setup build ## the examples in other languages, under the conformance test
	@tests/setup.sh languages
	tests/languages.sh

test-assert: setup ## golden files, specs and faults on a Postgres with assertions, which is built first
	@tests/setup.sh assert
	tests/assert.sh

test-tooz: setup build ## tooz's own tests on the driver of docs/examples/python, and what it promises beyond them
	@tests/setup.sh tooz
	tests/tooz.sh
test-packages: setup ## install and upgrade the Debian package in a Debian of its own, which is fetched; needs root
	@tests/setup.sh packages
	packaging/test/run.sh

regress: build ## golden files and isolation specs; one of them: make regress REGRESS=acquire ISOLATION=
	$(WITH_POSTGRES) -- $(MAKE) -C pg_regress installcheck

# Without options it regenerates the figures and the plot of docs/.
bench: BENCH ?= --out docs/benchmarks
bench: ## what volguard costs beside SQL by hand, etcd, Redis and RabbitMQ, from a clean checkout; options: make bench BENCH='--help'
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

install: release ## put the extension into the Postgres of PG_CONFIG on this machine
	tests/install.sh

clean: ## remove everything that was built here
	cargo clean
	rm -rf pg_regress/results pg_regress/output_iso pg_regress/regression.*
