#!/usr/bin/env bash
# Runs the conformance test on all programs of tests/languages/programs.txt, directly and through PgBouncer, and on the
# programs that break its rules: `make test-languages`. It ends with the line `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

. tests/tiers.sh

export TARGET VOLGUARD_PACKAGE=${VOLGUARD_PACKAGE:-$TARGET/pgrx-package/debug}

export NODE_PATH=$TARGET/languages/node/node_modules

# Debian's packages are the whole GOPATH.
build_go() {
    mkdir -p "$TARGET/languages"
    GO111MODULE=off GOPATH=/usr/share/gocode go build -o "$TARGET/languages/$1" "$2"
}

tier 'conformance test' cargo build --locked -p volguard-tests --bin conformance --bin rule-breaker
tier 'Rust program' cargo build --locked -p volguard --example conforming
tier 'Go programs' build_go manager-go ./docs/examples/go
tier 'Go types' build_go types-go ./tests/languages/go
tier 'Python and Node drivers' docs/examples/setup.sh
# Every cell of the table of types, every verb, and every snippet of docs/other-languages.md.
for driver in 'psycopg 3' 'SQLAlchemy 2' asyncpg node-postgres 'pgx v4' psql snippets; do
    tier "$driver" env -u DATABASE_URL tests/languages/driver.sh "$driver"
    tier "$driver, pgbouncer" env -u DATABASE_URL tests/languages/driver.sh "$driver" --pgbouncer
done
# All rules that can be broken, and a program in plain SQL that keeps them.
tier 'rules' cargo test --locked -p volguard-tests --test conformance -- --include-ignored --skip no_other_check_fails
while IFS= read -r line; do
    [[ $line == [!#]*': '* ]] || continue
    for route in direct pgbouncer; do
        # Its programs read no input; without this they would read the list.
        tier "${line%%: *}, $route" "$TARGET/debug/conformance" --route "$route" -- "${line#*: }" </dev/null
    done
done <tests/languages/programs.txt

summary
