#!/usr/bin/env bash
# package.sh debug|sabotage|release: lays the extension out for a private server, built against the Postgres that
# PG_CONFIG names, and prints where. package.sh where: prints only where these builds go.
#
# Each major has a place of its own: target/pgrx-package/ for Debian's 15, target/pgrx-package-NN/ for another. Cargo
# keeps their bindings apart by the feature pgNN.
set -euo pipefail
cd "$(dirname "$0")/.."

DEBIAN_PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
PG_CONFIG=${PG_CONFIG:-$DEBIAN_PG_CONFIG}
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
build=${1:-}

version=$("$PG_CONFIG" --version) || { echo "package.sh: PG_CONFIG=$PG_CONFIG is no pg_config" >&2; exit 1; }
major=${version#PostgreSQL } major=${major%%[!0-9]*}
packages=$TARGET/pgrx-package
((major == 15)) || packages+=-$major

case $build in
where) echo "$packages" && exit ;;
debug) flags=(--debug) ;;
sabotage) flags=(--debug --features sabotage) ;;
release) flags=() ;;
*) echo "package.sh: no such build: $build" >&2 && exit 1 ;;
esac

package=$packages/$build
staging=$packages/staging
mkdir -p "$packages"

# All builds leave their library in the same place, from where cargo pgrx copies it after cargo's own lock is gone.
exec 9>"$TARGET/package.lock"
flock 9

# pgrx makes its bindings from the headers that are registered for the major, unless it is told. Debian's 15 is the one
# registered, also for commands of cargo beside this script: telling would have each make the bindings anew.
[[ $PG_CONFIG == "$DEBIAN_PG_CONFIG" ]] || export PGRX_PG_CONFIG_PATH=$PG_CONFIG

rm -rf "$staging"
cargo pgrx package -p volguard-extension --pg-config "$PG_CONFIG" --out-dir "$staging" "${flags[@]}" >&2

# Renaming leaves the old library to the backends that have it mapped; written over in place, it would crash them.
(cd "$staging" && find . -type f) | while read -r file; do
    mkdir -p "$package/${file%/*}"
    mv -f "$staging/$file" "$package/$file"
done
echo "$package"
