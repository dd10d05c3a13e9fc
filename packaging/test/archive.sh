#!/usr/bin/env bash
# archive.sh: the archive for PGXN has all that its META.json names, and what its Makefile builds and installs is the
# same as the tree's.
set -euo pipefail
cd "$(dirname "$0")/../.."

TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
work=$TARGET/packages/pgxn
rm -rf "$work"
mkdir -p "$work"

archive=$(packaging/pgxn/archive.sh)
# As the client of PGXN does, which knows no links.
python3 -m zipfile -e "$archive" "$work"
cd "$work"/volguard-*
[[ -z $(find . -type l) ]]
grep -rlI --exclude-dir=target '^#!' . | xargs chmod +x
# Compiled with what was compiled of other crates, and quickly: the folders and the commands are what is tested here.
export PG_CONFIG
CARGO_TARGET_DIR=$TARGET cargo pgrx package -p volguard-extension --debug --pg-config "$PG_CONFIG" --out-dir "$work/built"
unset CARGO_TARGET_DIR
packages=$(tests/package.sh where 2>/dev/null || echo target/pgrx-package)
mkdir -p "$packages"
mv "$work/built" "$packages/release"
# Nothing is left to do for a compiler.
PATH=/usr/bin:/bin make DESTDIR="$work/root" install
cd "$work/root"
for path in "$("$PG_CONFIG" --pkglibdir)/volguard.so" "$("$PG_CONFIG" --sharedir)/extension/volguard.control"; do
    [[ -f $work/root$path ]] || { echo "archive.sh: nothing is installed at $path" >&2; exit 1; }
done
rm -rf "$work"
