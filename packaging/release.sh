#!/usr/bin/env bash
# release.sh: compiles the extension for use, unless that was done after the last change of what it is made of. So
# `sudo make install` after `make` needs no compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
export PG_CONFIG

packages=$(tests/package.sh where 2>/dev/null || echo "${CARGO_TARGET_DIR:-target}/pgrx-package")
library=$packages/release$("$PG_CONFIG" --pkglibdir 2>/dev/null || true)/volguard.so
if [[ -f $library ]]; then
    newer=$(find extension/ extension/sql/ Cargo.toml Cargo.lock -newer "$library" -print -quit)
    [[ -n $newer ]] || exit 0
fi
tests/setup.sh build
tests/package.sh release >/dev/null
