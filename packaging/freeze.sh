#!/usr/bin/env bash
# freeze.sh: writes the install script of this tree's version to sql/, where it stays as it is once it is released.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
released=sql/volguard--$version.sql
if git rev-parse -q --verify "refs/tags/v$version" >/dev/null; then
    echo "freeze: $version is released; its script does not change. Raise the version in Cargo.toml" >&2
    exit 1
fi
# The order is the one that extension/src/lib.rs asks for.
awk 'FNR == 1 && NR > 1 { print "" } { print }' sql/schema/*.sql >"$released"
echo "froze $released"
