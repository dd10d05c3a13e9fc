#!/bin/sh
# fresh.sh PSQL ARGUMENT...: runs one golden file. pg_regress starts psql through it.
#
# The files share a database, and use the same few hosts. A service that an earlier file has left alive would be
# replaced, with a WARNING, by the first registration of a later one. Work that waits for a service would be taken.
"$1" -qX -d contrib_regression -c 'DELETE FROM volguard.services' -c 'DELETE FROM volguard.clusters' \
    -c 'DELETE FROM volguard.workers WHERE work_id IS NOT NULL' -c 'DELETE FROM volguard.submitters' -c 'DELETE FROM volguard.ended_requests' </dev/null >/dev/null 2>&1
exec "$@"
