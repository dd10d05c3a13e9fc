# What `run.sh` and `assert.sh` have in common: tiers, which are counted, and a summary. Sourced at the root of the
# tree.

TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
SUMMARY=() ENDS=() PASSED=0 FAILED=0
LOG=$(mktemp)
# What a test says counts. Where the end of the output is all there is to read, the harness' own frames would hide it.
export RUST_BACKTRACE=0
trap 'rm -f "$LOG"' EXIT
# A command that cleans up before it obeys the signal exits by itself, and the next tier would follow.
trap 'exit 130' INT
trap 'exit 143' TERM

# Adds up what `cargo test`, pg_regress and the conformance test say about themselves.
count() {
    awk '
        /^test result:/ {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed;") passed += $(i - 1)
                if ($i == "failed;") failed += $(i - 1)
            }
        }
        /^[0-9]+ ok, [0-9]+ FAILED$/ { passed += $1; failed += $3 }
        match($0, /All [0-9]+ tests passed/) { passed += $(NF - 2) }
        match($0, /[0-9]+ of [0-9]+ tests failed/) {
            split(substr($0, RSTART, RLENGTH), n, " ")
            failed += n[1]
            passed += n[3] - n[1]
        }
        END { print passed + 0, failed + 0 }
    ' "$LOG"
}

# The reasons of a failed tier: what failed with the lines that follow, and the last lines.
end_of() {
    printf '\n-- "%s"\n' "$1"
    grep -E 'FAILED|^error' "$LOG" | head -n 20
    grep -E -A 12 'panicked at|^Error' "$LOG" | cut -c 1-2000 | head -n 80
    tail -n 25 "$LOG"
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
        ENDS+=("$(end_of "$name")")
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

# The last line counts; the status says whether it is all right.
summary() {
    printf '\n%-22s %7s %7s\n' tier passed failed
    printf '%s\n' "${SUMMARY[@]}"
    ((${#ENDS[@]})) && printf '%s\n' "${ENDS[@]}"
    printf '\n%d passed, %d failed\n' "$PASSED" "$FAILED"
    ((FAILED == 0))
}
