#!/usr/bin/env bash
# remove.sh: removes the package under a server that has the extension; nothing of it stays, and Postgres does. A
# session goes on with the functions that it has called, and DROP EXTENSION needs no library.
set -euo pipefail
cd "$(dirname "$0")/../.."

. packaging/test/commands.sh
PORT=54397
trap stop_all EXIT

# One session, which is asked again and again.
ask() {
    local answer
    echo "$1;" >&"${session[1]}"
    read -r -t 300 answer <&"${session[0]}" || die "no answer to: $1"
    echo "$answer"
}

start_cluster removed "$PORT"
sql "$PORT" 'CREATE EXTENSION volguard'
coproc session { as_postgres psql -XAtq -p "$PORT" 2>&1; }
service=$(ask "SELECT volguard.register_service('host', 'test', lease => '1 h')")
heartbeat="SELECT volguard.heartbeat($service)"
answered=$(ask "$heartbeat")

in_root apt-get purge -y -q "postgresql-$MAJOR-volguard"
left=$(find "$ROOT/usr" -iname '*volguard*')
[[ -z $left ]] || die "left behind: $left"
in_root dpkg -s "postgresql-$MAJOR" >/dev/null

[[ $answered == 01:00:00 && $(ask "$heartbeat") == "$answered" ]] || die 'the session does not go on'
told=$(sql "$PORT" "$heartbeat" 2>&1 || true)
[[ $told == *'could not access file "$libdir/volguard"'* ]] || die "a new session is told: $told"
sql "$PORT" 'DROP EXTENSION volguard'
[[ $(ask 'SELECT 1') == 1 ]] || die 'the session ends with the extension'
! grep -E 'terminated by signal|PANIC' "$(log_of removed)" || die 'the server has crashed'
