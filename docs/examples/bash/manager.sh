#!/usr/bin/env bash
# A volume manager under the contract of docs/write-a-client.md, with bash 5 and psql, on Linux.
#
#     DATABASE_URL=postgresql://... VOLGUARD_HOST=node-1 docs/examples/bash/manager.sh
#
# Three processes with a connection each: this one works, one sends heartbeats, one cleans up after others. A process
# that sends heartbeats for another must know that the other lives, so this one shows that by a file.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit
. ./session.sh

HOST=${VOLGUARD_HOST:?}
LEASE=$((${VOLGUARD_LEASE:-10000} / 10))
LIMIT=500 WAIT=500
stopping='' doubtful=()
trap 'stopping=1' TERM

# Each third of the lease, while the worker looks at its lease.
beat() {
    local sent
    begin_process
    look() { :; }
    while worker_is_there; do
        now
        sent=$NOW
        if ! worker_looks; then
            nap
        elif ask $((LEASE / 3)) "SELECT volguard.heartbeat($service)"; then
            if [[ $STATE == VG001 ]]; then
                [[ -e $DIR/leaving ]] || echo fenced >"$DIR/since"
                break
            fi
            [[ $STATE != 00000 ]] || renew "$sent" || break
            nap_until $((sent + LEASE / 3))
        else
            nap
        fi
    done
    hang_up
}

clean_up() {
    begin_process
    look() { :; }
    while worker_is_there; do
        if ! ask $((LIMIT * 8)) "SELECT bool_or(state = 'more') FROM volguard.auto_cleanup('default')" ||
            [[ ${ROWS[*]} != t ]]; then
            now
            nap_until $((NOW + LEASE / 3))
        fi
    done
    hang_up
}

# The next piece of work, as `token milliseconds size id` in PIECE. There may be none.
next_work() {
    local request before
    PIECE=()
    give_back_doubtful
    read -r request </proc/sys/kernel/random/uuid
    if ask_until_stop $((WAIT + LIMIT)) "SELECT token, details ->> 'milliseconds', details ->> 'size', resource_id
        FROM volguard.next_work($service, resource_type => 'volume', operations => '{extend}',
            wait => '${WAIT}0 ms', request_id => '$request')"; then
        expect 00000 VG004
        ((!${#ROWS[@]})) || IFS=$'\t' read -r -a PIECE <<<"${ROWS[0]}"
    else
        now
        doubtful+=("$request $((NOW + WAIT + 2 * LIMIT))")
        nap
    fi
}

# What lost answers of next_work may have been about. The server may give work to a call whose connection is gone until
# that call has ended, so this is repeated.
give_back_doubtful() {
    local entry request over before kept=()
    for entry in "${doubtful[@]}"; do
        read -r request over <<<"$entry"
        now
        before=$NOW
        insist $LIMIT "SELECT volguard.release_requests($service, '{$request}')"
        expect 00000
        ((before > over)) || kept+=("$entry")
    done
    doubtful=("${kept[@]}")
}

# The lock of this host's book-keeping, as LOG. None if there is a stop first.
acquire_log() {
    local request
    LOG=''
    while [[ -z $LOG && -z $stopping ]]; do
        # Asked again under the same id, it finds what a lost answer was about.
        read -r request </proc/sys/kernel/random/uuid
        insist $((WAIT + LIMIT)) "SELECT volguard.acquire($service, 'manager-log', $(quoted "$HOST"),
            wait => '${WAIT}0 ms', request_id => '$request')"
        expect 00000 VG004
        LOG=${ROWS[0]:-}
    done
}

release() {
    insist $LIMIT "SELECT volguard.release($1)"
    expect 00000
}

# A piece of work; what became of it as ENDING.
work() {
    local token=$1 takes=$((($2 + 9) / 10)) size=$3 id=$4 begun doubt
    now
    begun=$((NOW + 1)) ENDING=back
    work_until $((begun + takes / 2)) || return 0
    insist $LIMIT "SELECT (volguard.conditional_update('app.volumes', jsonb_build_object('id', $(quoted "$id")),
        jsonb_build_object('size', $size), fence => $token)).outcome"
    expect 00000
    ENDING=${ROWS[0]}
    [[ $ENDING == updated ]] || return 0
    ENDING=back
    work_until $((begun + takes)) || return 0
    insist $LIMIT "SELECT (volguard.finish_work($token, '{\"status\": \"available\"}')).outcome"
    expect 00000
    ENDING=${ROWS[0]} doubt=$DOUBT
    if [[ $ENDING == fenced && $doubt ]]; then
        # Done by the call whose answer was lost, or taken away: the row tells.
        insist $LIMIT "SELECT status = 'available' AND size = $size FROM app.volumes WHERE id = $(quoted "$id")"
        [[ ${ROWS[*]} != t ]] || ENDING=updated
    fi
}

# Stands for the work, with a look at the lease before each step. False if there is a stop, and it would take too long.
work_until() {
    while now && ((NOW < $1)); do
        look
        if [[ $stopping ]] && (($1 - NOW > LEASE / 3)); then
            return 1
        fi
        nap
    done
    look
}

extend() {
    acquire_log
    if [[ -z $LOG ]]; then
        release "$1"
        return
    fi
    say "begin $1 $4"
    work "$@"
    case $ENDING in
    updated) say "end $1 $4" ;;
    fenced) say "refused $1 $4" ;;
    back) release "$1" ;;
    *) die "$ENDING" ;;
    esac
    release "$LOG"
}

# Returns when the server knows. The look at the lease ends the process before the lease is over.
leave() {
    # Heartbeats are refused from then on.
    : >"$DIR/leaving"
    while :; do
        insist $((2 * LIMIT)) "SELECT volguard.deregister_service($service)"
        [[ $STATE == VG001 && $DOUBT ]] && return
        expect 00000 55P03
        [[ $STATE == 00000 ]] && return
        nap
    done
}

now
since=$NOW
look() { :; }
if ! ask $((LIMIT * 6)) "SELECT volguard.register_service($(quoted "$HOST"), 'manager', lease => '${LEASE}0 ms')"; then
    die 'no registration'
fi
expect 00000
service=${ROWS[0]}
begin_lease "$since"
beat >/dev/null &
clean_up >/dev/null &
say "registered $service"
while [[ -z $stopping ]]; do
    look
    next_work
    ((!${#PIECE[@]})) || extend "${PIECE[@]}"
done
leave
say stopped
