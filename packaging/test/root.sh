#!/usr/bin/env bash
# root.sh FOLDER: makes a Debian without any Postgres or Rust in a folder, from where this machine's apt has its
# packages. It is fetched once, and kept beside.
set -euo pipefail
cd "$(dirname "$0")/../.."

ROOT=$1
. packaging/test/commands.sh
BASE=$(dirname "$ROOT")/debian

fetch() {
    local codename mirror
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        sed -n "s/ $codename\$//p" | head -n 1)
    [[ -n $mirror ]] || die "apt knows no archive of $codename"
    mkdir -p "$(dirname "$BASE")"
    rm -rf "$BASE.new"
    debootstrap --variant=minbase "$codename" "$BASE.new" "$mirror" >"$BASE.log" 2>&1 || die "see $BASE.log"
    mv "$BASE.new" "$BASE"
}

[[ -d $BASE ]] || fetch
rm -rf "$ROOT"
cp -a "$BASE" "$ROOT"
# The tests start servers themselves. The cluster that Debian makes does not have the encoding that volguard needs.
printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
chmod 755 "$ROOT/usr/sbin/policy-rc.d"
mkdir -p "$ROOT/etc/postgresql-common/createcluster.d"
echo 'create_main_cluster = false' >"$ROOT/etc/postgresql-common/createcluster.d/test.conf"
# What apt has downloaded for another folder. Images begin without it.
[[ ${ROOT##*/} != root ]] || { mkdir -p "$BASE-packages" && cp -r "$BASE-packages/." "$ROOT/var/cache/apt/archives"; }
