#!/usr/bin/env bash
# archive.sh: makes target/packages/volguard-VERSION.zip, as PGXN takes it, of the last commit, and prints its path.
# `make` and `make install` in it build and install the extension: they need cargo, cargo-pgrx and the server's headers.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")/packages
name=volguard-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$out"
git archive --prefix="$name/" HEAD | tar -x -C "$work"
# Links become what they lead to: Python's zipfile, which the client of PGXN uses, knows no links.
rm -f "$out/$name.zip"
(cd "$work" && zip -q -X -r "$out/$name.zip" "$name")
echo "$out/$name.zip"
