#!/usr/bin/env bash
# package.sh debug|sabotage|release: lays the extension out in target/pgrx-package/ for a private server.
set -euo pipefail
cd "$(dirname "$0")/.."

case $1 in
debug) flags=(--debug) ;;
sabotage) flags=(--debug --features sabotage) ;;
release) flags=() ;;
*) echo "package.sh: no such build: $1" >&2 && exit 1 ;;
esac

packages=${CARGO_TARGET_DIR:-target}/pgrx-package
package=$packages/$1
staging=$packages/staging
mkdir -p "$packages"

# All builds leave their library in the same place, from where cargo pgrx copies it after cargo's own lock is gone.
exec 9>"$packages/lock"
flock 9

rm -rf "$staging"
cargo pgrx package -p volguard-extension --pg-config "${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}" \
    --out-dir "$staging" "${flags[@]}"

# Renaming leaves the old library to the backends that have it mapped; written over in place, it would crash them.
(cd "$staging" && find . -type f) | while read -r file; do
    mkdir -p "$package/${file%/*}"
    mv -f "$staging/$file" "$package/$file"
done
