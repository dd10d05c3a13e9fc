#!/usr/bin/env bash
# run.sh [MAJOR[:regress]]...: runs every tier of the tests, also after one has failed, and ends with the line
# `N passed, N failed`: `make test`.
#
# On Postgres 15, the default, these are all tiers. On another major they are those that depend on the server: golden
# files, isolation specs with and without guards, fault tests. With `:regress` they are golden files and specs.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

. tests/tiers.sh

# Where tables are distributed, the plans of updates are generic ones.
generic_plans() {
    local names
    names=$(cd pg_regress/sql && basename -s .sql conditional_update*.sql crash_rule*.sql {start,finish}_work.sql)
    PGOPTIONS='-c plan_cache_mode=force_generic_plan' regress ISOLATION= REGRESS="${names//$'\n'/ }"
}

sabotaged_specs() {
    env -u DATABASE_URL VOLGUARD_PACKAGE="$VOLGUARD_SABOTAGE_PACKAGE" "$TARGET/debug/with-postgres" -- pg_regress/sabotage.sh
}

# use_packages: from now on servers load what was built for PG_CONFIG.
use_packages() {
    local packages
    packages=$(tests/package.sh where)
    export VOLGUARD_PACKAGE=$packages/debug VOLGUARD_SABOTAGE_PACKAGE=$packages/sabotage
}

on_15() {
    local -x PG=15
    tier 'rustfmt' make -s rustfmt
    tier 'clippy' make -s clippy
    tier 'rustdoc' make -s rustdoc
    tier 'build' make -s build
    tier 'sabotaged build' tests/package.sh sabotage
    use_packages
    # Its pgrx-free modules; the linker drops what would need a server.
    tier 'extension units' cargo test --locked -p volguard-extension --lib
    tier 'golden files' regress ISOLATION=
    tier 'generic plans' generic_plans
    tier 'isolation specs' regress REGRESS=
    tier 'specs, sabotaged' sabotaged_specs
    tier 'client' with_server -- cargo test --locked --no-fail-fast -p volguard
    tier 'published client' tests/publish.sh
    # Nearly all of them wait for the end of a lease.
    tier 'command line' with_server -- cargo test --locked --no-fail-fast -p volguard-cli --features sabotage,tls -- --test-threads 16
    # They start their own servers, which they may crash.
    tier 'server' cargo test --locked --no-fail-fast -p volguard-tests
    # `make soak` is the same for longer. Cargo has built it with the tests.
    tier 'storm' "$TARGET/debug/soak" --seconds 40 --turns 0
    # Too short to measure anything: it checks that the contenders do the same, are not refused, and never share a lock.
    tier 'benchmark, short' cargo run --locked -p volguard-bench -- updates locks growth cleanup work queue --against hand --against advisory \
        --rounds 1 --seconds 0.2 --clients 1 --clients 4 --most-rows 2000 --cycles 500 --crashed 400 --jobs 400
}

# on_major MAJOR WHOLE: on a server that is fetched, unless PG_CONFIG names one.
on_major() {
    local major=$1 whole=$2 fetched=$TARGET/postgres-$1/installation/bin/pg_config
    local -x PG=$major PG_CONFIG=${PG_CONFIG:-$fetched}
    if [[ $PG_CONFIG == "$fetched" ]]; then
        tier "$major: Postgres" tests/postgres.sh "$major"
    fi
    tier "$major: build" make -s build
    use_packages
    tier "$major: golden files" regress ISOLATION=
    tier "$major: isolation specs" regress REGRESS=
    [[ $whole == whole ]] || return 0
    tier "$major: generic plans" generic_plans
    tier "$major: sabotaged build" tests/package.sh sabotage
    tier "$major: specs, sabotaged" sabotaged_specs
    tier "$major: faults" cargo test --locked --no-fail-fast -p volguard-tests --test faults
}

(($#)) || set -- 15
# With several majors PG_CONFIG can't name the server of each.
(($# == 1)) || unset PG_CONFIG
for argument in "$@"; do
    case $argument in
    15) on_15 ;;
    16 | 17 | 18) on_major "$argument" whole ;;
    16:regress | 17:regress | 18:regress) on_major "${argument%:*}" '' ;;
    *) echo "run.sh: no such major: $argument" >&2 && exit 1 ;;
    esac
done
summary
