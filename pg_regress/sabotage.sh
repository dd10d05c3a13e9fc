#!/usr/bin/env bash
# sabotage.sh: removes the guards one by one; a spec that still passes without its guard proves nothing.
# Needs a server with a build of the extension's feature `sabotage`; the PG... variables say where.
set -uo pipefail
cd "$(dirname "$0")"

run() {
    # Sessions of a failed spec may still wait for locks, in the database that the driver is about to drop.
    psql -qX -d postgres -c 'DROP DATABASE IF EXISTS isolation_regression WITH (FORCE)' 2>/dev/null
    PGOPTIONS="-c volguard.sabotage=$1" make -s installcheck REGRESS= ISOLATION="$2" >/dev/null 2>&1
}

# Without the setting every spec would fail.
psql -qAtX -d postgres -v ON_ERROR_STOP=1 -c "LOAD '\$libdir/volguard'" -c 'SHOW volguard.sabotage' >/dev/null || exit 1

tried=0 harmless=0
while read -r guard spec; do
    tried=$((tried + 1))
    if ! run '' "$spec"; then
        printf '%-18s %-30s fails with all guards\n' "$guard" "$spec"
        harmless=$((harmless + 1))
    elif run "$guard" "$spec"; then
        printf '%-18s %-30s passes without its guard\n' "$guard" "$spec"
        harmless=$((harmless + 1))
    else
        printf '%-18s %-30s fails, as it must\n' "$guard" "$spec"
    fi
done <<'GUARDS'
WaitQueue acquire-meets-acquire
GiveWay acquire-all-meets-holder
ServiceLock acquire-meets-fence
ServiceLock cleanup-meets-release-all
Fence cleanup-meets-heartbeat
Fence register-meets-register
FenceEarlier register-meets-register
Registering register-meets-register
ClusterLock register-meets-removal
Hold cleanup-meets-fenced-update
Hold removal-meets-check
RequestId acquire-meets-acquire
RequestId acquire-all-meets-acquire-all
WriterInProgress cleanup-meets-cleanup
ServiceRequest claim-meets-claim
ServiceRequest next-work-meets-next-work
RequestId next-work-meets-next-work
FullLook next-work-meets-known-lanes
LookupLocks next-work-meets-reindex
RequestId claim-meets-claim
ClaimToken claim-meets-heartbeat
ServiceLock claim-meets-heartbeat
Fence claim-meets-heartbeat
LockedRows cleanup-meets-cleanups
Hold repair-meets-holder
DeadHolder repair-meets-holder
ExpectedStatus status-meets-status
FenceFirst auto-cleanup-meets-auto-cleanup
Spelling acquire-meets-track
SpellingCheck acquire-meets-track
OthersWork work-meets-track
SpellingCheck work-meets-track
SameTable on-crash-meets-track
LockFirst update-meets-other-table
LatestOnly update-meets-other-table
KeyLock update-meets-foreign-key
MovedRow update-meets-moved-row
LookAgain update-meets-replaced-row
UndoneWithoutRow update-meets-sly-trigger
Identity update-meets-moving-trigger
AfterTriggers update-meets-moving-trigger
Catalog update-meets-new-catalog
WaitQueue start-work-meets-start-work
RequestId start-work-meets-start-work
ServiceLock start-work-meets-cleanup
Patience start-work-meets-writer
AfterTriggers start-work-meets-trigger
ReleaseFirst finish-work-meets-check
GUARDS
rm -rf output_iso

if ((harmless > 0)); then
    echo "$harmless of $tried tests failed."
    exit 1
fi
echo "All $tried tests passed."
