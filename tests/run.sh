#!/usr/bin/env bash
# Runs every tier of the tests, also after one has failed, and ends with the line `N passed, N failed`: `make test`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
SUMMARY=() ENDS=() PASSED=0 FAILED=0
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
# A command that cleans up before it obeys the signal exits by itself, and the next tier would follow.
trap 'exit 130' INT
trap 'exit 143' TERM

# Adds up what `cargo test` and pg_regress say about themselves.
count() {
    awk '
        /^test result:/ {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed;") passed += $(i - 1)
                if ($i == "failed;") failed += $(i - 1)
            }
        }
        match($0, /All [0-9]+ tests passed/) { passed += $(NF - 2) }
        match($0, /[0-9]+ of [0-9]+ tests failed/) {
            split(substr($0, RSTART, RLENGTH), n, " ")
            failed += n[1]
            passed += n[3] - n[1]
        }
        END { print passed + 0, failed + 0 }
    ' "$LOG"
}

# tier NAME COMMAND...: a command that fails without having counted a failure (it did not compile, it was killed)
# counts as one; a command that counts nothing counts as one test itself.
tier() {
    local name=$1 status passed failed start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$LOG"
    status=${PIPESTATUS[0]}
    read -r passed failed < <(count)
    if ((status != 0 && failed == 0)); then
        failed=1
    elif ((passed + failed == 0)); then
        passed=1
    fi
    PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed))
    SUMMARY+=("$(printf '%-22s %7d %7d %6d s' "$name" "$passed" "$failed" $((SECONDS - start)))")
    # The end of the output has the reason too, for readers that have only the end.
    if ((failed > 0)); then
        ENDS+=("$(printf '\n-- "%s"\n' "$name" && grep -E 'FAILED|panicked at|^Error' "$LOG" | head -n 20 && tail -n 15 "$LOG")")
    fi
}

# Each tier has its own server, so that none depends on what another left.
with_server() {
    "$TARGET/debug/with-postgres" "$@"
}

regress() {
    with_server -- make -s -C pg_regress installcheck "$@" && return
    cat pg_regress/regression.diffs pg_regress/output_iso/regression.diffs 2>/dev/null
    return 1
}

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

printf '\n%-22s %7s %7s\n' tier passed failed
printf '%s\n' "${SUMMARY[@]}"
((${#ENDS[@]})) && printf '%s\n' "${ENDS[@]}"
printf '\n%d passed, %d failed\n' "$PASSED" "$FAILED"
((FAILED == 0))
