#!/usr/bin/env bash
# next.sh: packages a version that comes after this one, for the test of the upgrade: a copy of the tree with one more
# column, one more function, and the edge that brings them. Prints the path of the package.
set -euo pipefail
cd "$(dirname "$0")/../.."

TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
next=$TARGET/packages/next
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
new_version=${version%.*}.$((${version##*.} + 1))
export PG_CONFIG

rm -rf "$next"
mkdir -p "$next/tree"
git ls-files -z | xargs -0 cp -a --parents -t "$next/tree"
cd "$next/tree"
sed -i "s/^version = \"$version\"/version = \"$new_version\"/" Cargo.toml
cargo update --quiet --offline --workspace
objects="ALTER TABLE volguard.events ADD COLUMN note text;
CREATE FUNCTION volguard.renounce(token bigint) RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_renounce';
REVOKE ALL ON FUNCTION volguard.renounce FROM PUBLIC;"
printf "SELECT volguard.release_all('{}');\n%s\n" "$objects" >"sql/volguard--$version--$new_version.sql"
echo "$objects" >>sql/schema/90-privileges.sql
# A symbol that only the new library has: objects of the new version can't do with the old one.
sed -i 's/^\( *\)volguard_release, pg_finfo_volguard_release.*/&\n\1volguard_renounce, pg_finfo_volguard_renounce => release_wrapper;/' \
    extension/src/lock/release.rs

# What was compiled of other crates serves here, too.
CARGO_TARGET_DIR=$TARGET cargo pgrx package -p volguard-extension --debug --pg-config "$PG_CONFIG" --out-dir "$next/built" >&2
unset CARGO_TARGET_DIR
package=$(VOLGUARD_BUILT=$next/built VOLGUARD_COMPRESSION=none packaging/deb/build.sh)
mv "$package" "$next/"
rm -rf "$next/tree" "$next/built"
echo "$next/${package##*/}"
