# Commands in the Debian that root.sh has made in the folder ROOT, with the Postgres MAJOR. Sourced.
#
# It is a plain chroot: nothing is mounted, so its Debian has no /proc, and pg_ctlcluster can't stop a server there.

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

((EUID == 0)) || die 'a Debian of its own needs root'

in_root() {
    DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$ROOT" "$@"
}

as_postgres() {
    in_root runuser -u postgres -- "$@"
}

# start_cluster NAME PORT [SETTING...]: makes and starts a cluster whose databases take volguard.
start_cluster() {
    local name=$1 port=$2 setting
    shift 2
    [[ ! -e $ROOT/etc/postgresql/$MAJOR/$name ]] || die "a cluster $name is there"
    in_root pg_createcluster "$MAJOR" "$name" --port "$port" --encoding UTF8 --locale C >/dev/null
    for setting in 'fsync = off' "listen_addresses = ''" "$@"; do
        echo "$setting" >>"$ROOT/etc/postgresql/$MAJOR/$name/postgresql.conf"
    done
    again "$name"
}

# The server of a cluster, after it was stopped.
again() {
    in_root pg_ctlcluster "$MAJOR" "$1" start
}

stop() {
    as_postgres "/usr/lib/postgresql/$MAJOR/bin/pg_ctl" -D "/var/lib/postgresql/$MAJOR/$1" -m fast stop >/dev/null
}

log_of() {
    echo "$ROOT/var/log/postgresql/postgresql-$MAJOR-$1.log"
}

# Stops what was started, however the script ends.
stop_all() {
    local name
    for name in $(ls "$ROOT/etc/postgresql/$MAJOR" 2>/dev/null); do
        [[ ! -e $ROOT/var/lib/postgresql/$MAJOR/$name/postmaster.pid ]] || stop "$name"
    done
}

# sql PORT STATEMENT...: in the database postgres, each a transaction of its own; rows without frills.
sql() {
    local port=$1
    shift
    sql_in postgres "$port" "$@"
}

# sql_in DATABASE PORT STATEMENT...
sql_in() {
    local database=$1 port=$2 statement commands=()
    shift 2
    for statement in "$@"; do commands+=(-c "$statement"); done
    as_postgres psql -XAtq -v ON_ERROR_STOP=1 -p "$port" -d "$database" "${commands[@]}"
}

# until_true WHAT COMMAND...: asks again until the command succeeds.
until_true() {
    local what=$1 end=$((SECONDS + 300))
    shift
    until "$@"; do
        ((SECONDS < end)) || die "waited in vain for $what"
        sleep 0.05
    done
}
