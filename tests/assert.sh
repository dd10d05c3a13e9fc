#!/usr/bin/env bash
# Runs golden files, isolation specs and fault tests on a Postgres 15 with assertions, and the golden files once more
# with caches that forget everything at each chance; ends with the line `N passed, N failed`: `make test-assert`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

. tests/tiers.sh
. tests/src/defects.sh

HOME_OF_BUILD=$TARGET/postgres-assert
START=$(mktemp)
trap 'rm -f "$LOG" "$START"' EXIT

# The extension is compiled against the headers of this server, in which structures are larger. Its own directory keeps
# the two builds from replacing each other's bindings.
package() {
    CARGO_TARGET_DIR=$HOME_OF_BUILD/cargo tests/package.sh "$1"
}

# A server keeps its log if it has failed an assertion or crashed, also when its test has passed.
defects() {
    local logs
    mapfile -t logs < <(find "$TARGET/private-postgres" -mindepth 2 -maxdepth 2 -name log -newer "$START")
    ((${#logs[@]})) || return 0
    ! grep -nE -A30 "$DEFECTS" "${logs[@]}"
}

# A file takes minutes, and the usual lease would end in it. So the lease is a longer one, also where a file prints it,
# and so is the time for a statement of a repair.
# In sessions alone: a process for repairs has a time limit, in which it would not come to its work.
without_cache() {
    local copy status=0
    copy=$(mktemp -d)
    cp -r pg_regress/. "$copy"
    sed -i -E 's/@ 1 min( *) \|/@ 59 mins\1|/; s/@ 1 min$/@ 59 mins/; s/^ 1min$/ 59min/' "$copy"/expected/*.out
    PGOPTIONS='-c debug_discard_caches=1' with_server --set volguard.service_down_time=59min --set volguard.rule_timeout=10min -- \
        make -s -C "$copy" installcheck ISOLATION= || status=1
    cat "$copy/regression.diffs" 2>/dev/null
    rm -rf "$copy"
    return $status
}

tier 'Postgres' tests/postgres_assert.sh
export PG_CONFIG=$HOME_OF_BUILD/installation/bin/pg_config
tier 'build' package debug
tier 'sabotaged build' package sabotage
tier 'private server' cargo build --locked -p volguard-tests --bin with-postgres
# Without these nothing can run.
((FAILED == 0)) || summary || exit
export VOLGUARD_PACKAGE=$HOME_OF_BUILD/cargo/pgrx-package/debug
export VOLGUARD_SABOTAGE_PACKAGE=$HOME_OF_BUILD/cargo/pgrx-package/sabotage
tier 'golden files' regress ISOLATION=
tier 'isolation specs' regress REGRESS=
# Two guards keep Postgres from failing an assertion. Without them the server of all negatives ends, instead of giving
# the wrong answer that these tests look for.
tier 'faults' cargo test --locked --no-fail-fast -p volguard-tests --test faults -- \
    --skip without_a_look_at_the_catalog_a_row_that_moves_is_lost --skip settings_that_are_not_put_back_are_noticed
tier 'golden files, no cache' without_cache
tier 'logs' defects
summary
