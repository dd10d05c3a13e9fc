#!/usr/bin/env bash
# Packages the client as it would be published, and uses the package as others do: its documentation's examples compile
# from it, and a program that depends on it keeps the meaning of its own types.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$TARGET

cargo package --locked --allow-dirty -p volguard
package=$(echo "$TARGET"/package/volguard-[0-9]*[0-9])
for path in LICENSE-MIT LICENSE-APACHE README.md src/lib.rs; do
    [[ -e $package/$path ]] || { echo "publish: the package has no $path" >&2; exit 1; }
done
for path in examples tests; do
    [[ ! -e $package/$path ]] || { echo "publish: the package has $path" >&2; exit 1; }
done
(cd "$package" && cargo test --doc --all-features)

dependent=$TARGET/dependent
mkdir -p "$dependent/src"
cp tests/dependent/lib.rs "$dependent/src/lib.rs"
cat > "$dependent/Cargo.toml" <<TOML
[package]
name = "dependent"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = { version = "1", features = ["raw_value"] }
volguard = { path = "$package" }
TOML
cp Cargo.lock "$dependent/Cargo.lock"
(cd "$dependent" && cargo test --lib)
