# A connection by psql, and the lease. Sourced by manager.sh.
#
# Times are hundredths of a second of /proc/uptime, which goes on while a process is stopped or the machine suspended.

DIR=$(mktemp -d) || exit
# psql may be gone when something is written to it.
trap '' PIPE
trap 'end' EXIT
# Something to wait for that never comes: `read -t` sleeps without another process.
exec {never}<> <(:)
PID='' NOW=0 STATE='' DOUBT='' ROWS=()

end() {
    hang_up
    # They may have ended.
    kill $(jobs -p) 2>/dev/null
    rm -rf "$DIR"
}

die() {
    echo "manager: $*" >&2
    exit 1
}

now() {
    local up
    read -r up _ </proc/uptime
    NOW=${up/./}
}

nap() {
    read -r -t 0.05 -u "$never"
    return 0
}

nap_until() {
    while now && ((NOW < $1)); do
        nap
    done
}

quoted() {
    printf "'%s'" "${1//\'/\'\'}"
}

open() {
    coproc PSQL { exec psql -XAtq -F $'\t' "$DATABASE_URL"; } 2>/dev/null
    PID=$PSQL_PID
    # Bash forgets its own as soon as psql ends.
    exec {to}>&"${PSQL[1]}" {from}<&"${PSQL[0]}"
}

hang_up() {
    [[ $PID ]] || return 0
    {
        kill -KILL "$PID"
        wait "$PID"
    } 2>/dev/null
    exec {to}>&- {from}<&-
    PID=''
}

# A process of its own does not use the connection of the one that it comes from.
begin_process() {
    exec {to}>&- {from}<&-
    PID=''
    trap 'hang_up' EXIT
    trap 'exit' TERM
}

# ask LIMIT SQL: sends a statement once. Its rows are in ROWS, its SQLSTATE in STATE. False if the connection broke, or
# the server shuts down, starts or has no room; then the statement may have taken effect. (08P01 is PgBouncer's, for a
# server that it has lost.)
ask() {
    local over line part=''
    now
    over=$((NOW + $1)) STATE='' ROWS=()
    [[ $PID ]] || open
    printf '%s;\n\\echo end :SQLSTATE\n' "$2" 2>/dev/null >&"$to" || STATE=08006
    until [[ $STATE ]]; do
        if IFS= read -r -t 0.05 -u "$from" line; then
            line=$part$line part=''
            if [[ $line == 'end '* ]]; then
                STATE=${line#end }
            else
                ROWS+=("$line")
            fi
        elif (($? > 128)); then
            part+=$line
        else
            STATE=08006
        fi
        look
        now
        if ((NOW > over)) || [[ $UNTIL_STOP && $stopping ]]; then
            STATE=${STATE:-08006}
        fi
    done
    case $STATE in 08* | 53* | 57*)
        hang_up
        return 1
        ;;
    esac
}

UNTIL_STOP=''
ask_until_stop() {
    UNTIL_STOP=1
    ask "$@"
    local status=$?
    UNTIL_STOP=''
    return $status
}

# As ask, until there is an answer. DOUBT says whether one was lost before.
insist() {
    DOUBT=''
    until ask "$@"; do
        DOUBT=1
        look
        nap
    done
}

# Ends the process unless the last statement had one of these SQLSTATEs.
expect() {
    [[ $STATE != VG001 ]] || lost
    [[ " $* " == *" $STATE "* ]] || die "SQLSTATE $STATE"
}

# The lease is counted from the moment before the last heartbeat that succeeded was sent, which the file has.
begin_lease() {
    SINCE=$1
    echo "$SINCE" >"$DIR/since"
    look() {
        local since
        now
        echo "$NOW" >"$DIR/alive"
        # It is empty while it is being written.
        read -r since <"$DIR/since" && SINCE=$since
        if [[ $SINCE == fenced ]] || is_over; then
            lost
        fi
    }
    look
}

is_over() {
    ((NOW + 1 - SINCE >= LEASE * 9 / 10))
}

# Counts the lease from a heartbeat that was sent then. False if the lease is over: it stays so.
renew() {
    now
    ! is_over || return 1
    SINCE=$1
    echo "$SINCE" >"$DIR/since"
}

# For its other processes. Also a worker that is killed without them is gone.
worker_is_there() {
    [[ -d $DIR ]] && kill -0 $$ 2>/dev/null
}

# Whether the worker has looked at its lease lately.
worker_looks() {
    local alive
    now
    read -r alive <"$DIR/alive" && ALIVE=$alive
    ((NOW - ${ALIVE:-0} < LEASE / 3))
} 2>/dev/null

lost() {
    echo lost
    exit 3
}

say() {
    look
    echo "$1"
}
