#!/usr/bin/env bash
# `driver.sh NAME [--pgbouncer]`: on a private server, whether a driver takes and gives what docs/other-languages.md
# says, and can call all verbs; `driver.sh snippets` runs the programs of that page. The last line counts.
set -euo pipefail
cd "$(dirname "$0")/../.."

TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
LANGUAGES=$TARGET/languages
export NODE_PATH=$LANGUAGES/node/node_modules

run() {
    psql -qX -v ON_ERROR_STOP=1 -f tests/languages/site.sql "$DATABASE_URL"
    case $1 in
    snippets) "$LANGUAGES/venv/bin/python" tests/languages/snippets.py ;;
    node-postgres) node tests/languages/run.js < <(/usr/bin/python3 tests/languages/plan.py "$1") ;;
    'pgx v4') "$LANGUAGES/types-go" < <(/usr/bin/python3 tests/languages/plan.py "$1") ;;
    *) "$LANGUAGES/venv/bin/python" tests/languages/run.py "$1" ;;
    esac
}

if [[ ${DATABASE_URL-} ]]; then
    run "$1"
else
    exec "$TARGET/debug/with-postgres" ${2:+"$2"} -- "$0" "$1"
fi
