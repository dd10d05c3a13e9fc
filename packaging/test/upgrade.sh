#!/usr/bin/env bash
# upgrade.sh OLD NEW: apt replaces the package of this version by the next one under live sessions of two servers: one
# whose sessions load the library by themselves, and one that preloads it and has the background worker. No process
# crashes, and each session goes on or is told what to do.
set -euo pipefail
cd "$(dirname "$0")/../.."

. packaging/test/commands.sh
old=$1 new=$2
next=${VERSION%.*}.$((${VERSION##*.} + 1))
PLAIN=54393 PRELOADED=54394 OLDER=54395 NEWER=54396
SESSIONS=(1 2 3 4)
out=$(mktemp -d)
# Sessions end when their file is gone.
trap 'rm -rf "$out"; wait; stop_all' EXIT

# A session: it takes and releases a lock that all want, and one of its own, until it is stopped. What it prints is
# answers, and what it is told instead.
session() {
    local port=$1 number=$2 file=$3
    {
        echo "SELECT volguard.register_service('session-$number', 'test', lease => '10 min') AS service \\gset"
        while [[ -e $out/go ]]; do
            echo "SELECT volguard.release(volguard.acquire(:service, 'volume', 'hot', wait => '20 s'));"
            echo "SELECT volguard.release(volguard.acquire(:service, 'volume', 'own-$number'));"
            sleep 0.02
        done
        echo "SELECT 'alive to the end';"
    } | as_postgres psql -XAtq -p "$port" >"$file" 2>&1
}

begin_sessions() {
    local port=$1 name=$2 number
    : >"$out/go"
    for number in "${SESSIONS[@]}"; do session "$port" "$number" "$out/$name-$number" & done
}

# Ends the sessions, and checks that none was cut off.
end_sessions() {
    local name
    rm "$out/go"
    wait
    for name in "$out"/*-[0-9]; do
        [[ $(tail -n 1 "$name") == 'alive to the end' ]] || die "a session ended early: $(tail -n 5 "$name")"
    done
}

# Whether each session of a server has had so many more answers since `mark`.
mark() {
    local name=$1 number
    for number in "${SESSIONS[@]}"; do count "$name-$number" >"$out/mark-$name-$number.count"; done
}

count() {
    grep -cx t "$out/$1" || true
}

have_gone_on() {
    local name=$1 number
    for number in "${SESSIONS[@]}"; do
        (($(count "$name-$number") >= $(<"$out/mark-$name-$number.count") + 10)) || return
    done
}

are_told() {
    local name=$1 text=$2 number
    for number in "${SESSIONS[@]}"; do grep -qF "$text" "$out/$name-$number" || return; done
}

have_no_error() {
    ! grep -h ERROR "$out/$1"-[0-9] || die "the sessions of $1 met an error"
}

# What a new session is told, by a call that needs nothing.
told() {
    local port=$1 statement=${2:-"SELECT volguard.release_all('{}')"}
    sql "$port" "$statement" 2>&1 || true
}

must_say() {
    [[ $1 == *"$2"* ]] || die "it says: $1"
}

# A service whose lease is over, with a lock: it is cleaned up by a call, or by the worker.
is_cleaned() {
    [[ $(sql "$PRELOADED" "SELECT count(*) FROM volguard.service_status WHERE host = '$1' AND fenced_at IS NOT NULL") == 1 ]]
}

have_crash() {
    sql "$PRELOADED" "SELECT volguard.acquire(volguard.register_service('$1', 'test', lease => '2 s'), 'volume', '$1')" >/dev/null
}

# The data of the cluster `older` in a new one, by pg_upgrade: Debian has the settings of a cluster in /etc.
upgrade_cluster() {
    local programs=/usr/lib/postgresql/$MAJOR/bin data=/var/lib/postgresql/$MAJOR settings=/etc/postgresql/$MAJOR
    start_cluster newer "$NEWER"
    stop newer
    as_postgres sh -c "cd /tmp && $programs/pg_upgrade -b $programs -B $programs -d $data/older -D $data/newer \
        -o '-c config_file=$settings/older/postgresql.conf' -O '-c config_file=$settings/newer/postgresql.conf'"
    again newer
}

start_of() {
    sql "$1" "SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
}

older="the library is volguard $VERSION, the extension in this database is $next"
newer="the library is volguard $next, the extension in this database is $VERSION"

cp "$new" "$ROOT/tmp/"
start_cluster plain "$PLAIN"
start_cluster preloaded "$PRELOADED" "shared_preload_libraries = 'volguard'" "volguard.database = 'postgres'" \
    "volguard.cleanup_interval = '200ms'"
started=("$(start_of "$PLAIN")" "$(start_of "$PRELOADED")")
for port in "$PLAIN" "$PRELOADED"; do sql "$port" 'CREATE EXTENSION volguard'; done
# One more database of the same server, which is updated later; and a dump, which is restored later.
sql "$PLAIN" 'CREATE DATABASE late' 'CREATE DATABASE restored'
late_lock=$(sql_in late "$PLAIN" 'CREATE EXTENSION volguard' \
    "SELECT volguard.acquire(volguard.register_service('late', 'test', lease => '1 h'), 'volume', 'late')")
as_postgres pg_dump -p "$PLAIN" -Fc -f /tmp/old.dump late
# And a server that is upgraded while nothing runs.
start_cluster older "$OLDER"
older_lock=$(sql "$OLDER" 'CREATE EXTENSION volguard' \
    "SELECT volguard.acquire(volguard.register_service('older', 'test', lease => '1 h'), 'volume', 'older')")
stop older
begin_sessions "$PLAIN" plain
begin_sessions "$PRELOADED" preloaded
for name in plain preloaded; do mark "$name" && until_true 'the first answers' have_gone_on "$name"; done

echo "-- apt installs $next"
in_root apt-get install -y -q --no-install-recommends "/tmp/${new##*/}"
for name in plain preloaded; do mark "$name" && until_true "sessions that go on with $VERSION" have_gone_on "$name"; done
have_no_error plain
have_no_error preloaded
must_say "$(told "$PLAIN")" "$newer"
must_say "$(told "$PLAIN")" 'Run ALTER EXTENSION volguard UPDATE in this database.'
# All that this server starts has the library that it has loaded itself: also new sessions, and the worker.
[[ $(told "$PRELOADED") == 0 ]] || die "a new session of the preloaded library: $(told "$PRELOADED")"
have_crash during
until_true 'a cleanup by the worker with the old library' is_cleaned during

echo '-- ALTER EXTENSION'
sql "$PLAIN" 'ALTER EXTENSION volguard UPDATE'
until_true 'sessions that are told to connect again' are_told plain "$older"
are_told plain 'connect again'
[[ $(told "$PLAIN") == 0 ]] || die "a new session after the update: $(told "$PLAIN")"
# Each database has a version of its own.
must_say "$(sql_in late "$PLAIN" "SELECT volguard.release_all('{}')" 2>&1 || true)" "$newer"
sql_in late "$PLAIN" 'ALTER EXTENSION volguard UPDATE'
[[ $(sql_in late "$PLAIN" "SELECT volguard.release($late_lock)") == t ]] || die 'the update has lost a lock'
as_postgres pg_restore -p "$PLAIN" --exit-on-error -d restored /tmp/old.dump
[[ $(sql_in restored "$PLAIN" "SELECT extversion FROM pg_extension WHERE extname = 'volguard'") == "$next" ]]
[[ $(sql_in restored "$PLAIN" "SELECT volguard.release($late_lock)") == t ]] || die 'a dump of the older version has lost a lock'
refused=$(told "$PRELOADED" 'ALTER EXTENSION volguard UPDATE')
must_say "$refused" "$older"
must_say "$refused" 'restart it: shared_preload_libraries'
mark preloaded && until_true 'sessions that go on after a refused update' have_gone_on preloaded
have_no_error preloaded
for port in "$PLAIN" "$PRELOADED"; do
    [[ $(start_of "$port") == "${started[0]}" || $(start_of "$port") == "${started[1]}" ]] || die 'a server has crashed'
done
end_sessions

echo '-- the server that preloads the library starts again'
stop preloaded
again preloaded
must_say "$(told "$PRELOADED")" 'Run ALTER EXTENSION volguard UPDATE in this database.'
sql "$PRELOADED" 'ALTER EXTENSION volguard UPDATE'
have_crash after
until_true 'a cleanup by the worker with the new library' is_cleaned after

echo "-- sessions with $next"
rm -f "$out"/*
begin_sessions "$PLAIN" plain
begin_sessions "$PRELOADED" preloaded
for name in plain preloaded; do
    mark "$name" && until_true 'answers of new sessions' have_gone_on "$name"
    have_no_error "$name"
done
end_sessions
for name in plain preloaded; do
    ! grep -E 'terminated by signal|PANIC|was terminated' "$(log_of "$name")" || die "the server $name has crashed"
done

echo '-- pg_upgrade'
upgrade_cluster
must_say "$(told "$NEWER")" "$newer"
sql "$NEWER" 'ALTER EXTENSION volguard UPDATE'
[[ $(sql "$NEWER" "SELECT volguard.release($older_lock)") == t ]] || die 'pg_upgrade has lost a lock'

# The rest goes with the package of this version, which comes back: an older library refuses newer objects.
in_root apt-get install -y -q --allow-downgrades --no-install-recommends "/tmp/${old##*/}"
must_say "$(told "$PLAIN")" "$older"
