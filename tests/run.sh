#!/usr/bin/env bash
# Runs every tier of the tests, also after one has failed, and ends with the line `N passed, N failed`: `make test`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

. tests/tiers.sh

# Where tables are distributed, the plans of updates are generic ones.
generic_plans() {
    local names
    names=$(cd pg_regress/sql && basename -s .sql conditional_update*.sql crash_rule*.sql {start,finish}_work.sql)
    PGOPTIONS='-c plan_cache_mode=force_generic_plan' regress ISOLATION= REGRESS="${names//$'\n'/ }"
}

tier 'rustfmt' make -s rustfmt
tier 'clippy' make -s clippy
tier 'rustdoc' make -s rustdoc
tier 'build' make -s build
tier 'sabotaged build' tests/package.sh sabotage
export VOLGUARD_PACKAGE=$TARGET/pgrx-package/debug
export VOLGUARD_SABOTAGE_PACKAGE=$TARGET/pgrx-package/sabotage
# Its pgrx-free modules; the linker drops what would need a server.
tier 'extension units' cargo test --locked -p volguard-extension --lib
tier 'golden files' regress ISOLATION=
tier 'generic plans' generic_plans
tier 'isolation specs' regress REGRESS=
tier 'specs, sabotaged' env -u DATABASE_URL VOLGUARD_PACKAGE="$VOLGUARD_SABOTAGE_PACKAGE" "$TARGET/debug/with-postgres" -- pg_regress/sabotage.sh
tier 'client' with_server -- cargo test --locked --no-fail-fast -p volguard
tier 'published client' tests/publish.sh
# They start their own servers, which they may crash.
tier 'server' cargo test --locked --no-fail-fast -p volguard-tests
# `make soak` is the same for longer. Cargo has built it with the tests.
tier 'storm' "$TARGET/debug/soak" --seconds 40 --turns 0
# Too short to measure anything: it checks that the contenders do the same, are not refused, and never share a lock.
tier 'benchmark, short' cargo run --locked -p volguard-bench -- updates locks growth cleanup work --against hand --against advisory \
    --rounds 1 --seconds 0.2 --clients 1 --clients 4 --most-rows 2000 --cycles 500 --crashed 400

summary
