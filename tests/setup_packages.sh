#!/bin/sh
# Installs Debian packages, as root, without leaving a service of theirs behind:
# a build should not start a Postgres on port 5432 or a PgBouncer at boot.
set -eu

SNIPPET=/etc/postgresql-common/createcluster.d/volguard.conf
POLICY=/usr/sbin/policy-rc.d
undo=

clean_up() {
    for file in $undo; do rm -f "$file"; done
    rmdir -p --ignore-fail-on-non-empty "${SNIPPET%/*}" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# Debian makes and starts a cluster with the first install of a Postgres unless told otherwise.
without_main_cluster() {
    mkdir -p "${SNIPPET%/*}"
    undo="$undo $SNIPPET"
    echo 'create_main_cluster = false' >"$SNIPPET"
}

# An administrator's own policy stays in force.
without_starting_services() {
    [ ! -e "$POLICY" ] || return 0
    undo="$undo $POLICY"
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

without_main_cluster
without_starting_services
# Packages that apt does not know, or can no longer find where it knew them, mean that its lists are absent or old.
apt-get install --simulate "$@" >/dev/null 2>&1 || apt-get update -q
install "$@" || { apt-get update -q && install "$@"; }

for package in "$@"; do
    case $package in
    pgbouncer | redis-server) update-rc.d "$package" disable >/dev/null ;;
    etcd-server) update-rc.d etcd disable >/dev/null ;;
    esac
done
