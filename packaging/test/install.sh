#!/usr/bin/env bash
# install.sh PACKAGE: installs the package with apt, where there is neither a Postgres nor Rust, and uses it.
set -euo pipefail
cd "$(dirname "$0")/../.."

. packaging/test/commands.sh
trap stop_all EXIT

for program in cargo rustc cc psql; do
    ! in_root which "$program" || die "the Debian has $program already"
done
cp "$1" "$ROOT/tmp/"
in_root apt-get update -q
in_root apt-get install -y -q --no-install-recommends "/tmp/${1##*/}"
kept=$(dirname "$ROOT")/debian-packages
find "$ROOT/var/cache/apt/archives" -maxdepth 1 -name '*.deb' -exec cp -u -t "$kept" {} +
! in_root which cargo || die 'the package brings a compiler'
in_root dpkg --verify "postgresql-$MAJOR-volguard"

start_cluster install 54391
sql 54391 'CREATE EXTENSION volguard'
[[ $(sql 54391 "SELECT extversion FROM pg_extension WHERE extname = 'volguard'") == "$VERSION" ]]
[[ $(sql 54391 "SELECT volguard.release(volguard.acquire(volguard.register_service('host', 'test'), 'volume', 'v1'))") == t ]]
