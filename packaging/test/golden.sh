#!/usr/bin/env bash
# golden.sh: runs the golden files against the installed package, with the driver that Debian's Postgres has.
set -euo pipefail
cd "$(dirname "$0")/../.."

. packaging/test/commands.sh
trap stop_all EXIT

rm -rf "$ROOT/golden"
cp -r pg_regress "$ROOT/golden"
rm -rf "$ROOT"/golden/{results,output_iso,regression.*}
in_root chown -R postgres: /golden
start_cluster golden 54392 'max_connections = 200' "timezone = 'UTC'"
mapfile -t files < <(cd pg_regress/sql && basename -s .sql -- *.sql)
regress=/usr/lib/postgresql/$MAJOR/lib/pgxs/src/test/regress/pg_regress
as_postgres sh -c "cd /golden && exec '$regress' --inputdir=. --bindir=/usr/lib/postgresql/$MAJOR/bin \
    --dbname=contrib_regression --load-extension=volguard --launcher=./fresh.sh --port=54392 --host=/var/run/postgresql \
    --user=postgres ${files[*]}" || { cat "$ROOT/golden/regression.diffs" && exit 1; }
