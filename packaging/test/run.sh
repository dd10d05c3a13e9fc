#!/usr/bin/env bash
# run.sh: makes the packages of this tree, installs them in a Debian of its own without Rust, runs the golden files
# there, upgrades under live sessions, and carries out the Dockerfiles: `make test-packages`. Ends with the line
# `N passed, N failed`. VOLGUARD_BUILD=debug takes a build that is compiled sooner.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

. tests/tiers.sh

OUT=$TARGET/packages
ROOT=$OUT/root
MAJOR=$("${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
PACKAGE=$OUT/postgresql-$MAJOR-volguard_${VERSION}_$(dpkg --print-architecture).deb
export ROOT MAJOR VERSION

# Who builds a package for others gives an address of theirs, by DEBEMAIL.
check_package() {
    lintian --allow-root --fail-on error,warning \
        --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog "$PACKAGE"
}

# A Dockerfile for this major, on a Debian with its Postgres; and what must be there then.
dockerfile() {
    local file=$1 result=$OUT/image root=$OUT/image-root
    shift
    rm -rf "$result"
    packaging/test/root.sh "$root" &&
        packaging/test/dockerfile.sh "$file" "$OUT" "$root" "$result" "PG_MAJOR=$MAJOR" "VOLGUARD_VERSION=$VERSION" || return
    [[ -d $result ]] || result=$root
    local path
    for path in "$@"; do
        [[ -e $result/$path ]] || { echo "the image has no $path" >&2; return 1; }
    done
    if [[ $result == "$root" ]]; then
        # The step has cleaned up after itself, and nothing is left of the package's file.
        [[ -z $(find "$root/tmp" "$root/var/lib/apt/lists" -type f) ]]
    else
        # Without a system of its own, an extension has no other files.
        (($(find "$result" -type f | wc -l) == $#))
    fi
}

LIBRARY=usr/lib/postgresql/$MAJOR/lib/volguard.so
CONTROL=usr/share/postgresql/$MAJOR/extension/volguard.control

tier 'package' packaging/deb/build.sh
tier 'lintian' check_package
tier 'next version' packaging/test/next.sh
tier 'a Debian without Rust' packaging/test/root.sh "$ROOT"
tier 'installation by apt' packaging/test/install.sh "$PACKAGE"
tier 'golden files' packaging/test/golden.sh
tier 'live upgrade' packaging/test/upgrade.sh "$PACKAGE" "$OUT"/next/*.deb
tier 'removal' packaging/test/remove.sh
tier 'Dockerfile' dockerfile packaging/docker/Dockerfile "$LIBRARY" "$CONTROL" docker-entrypoint-initdb.d/10-volguard.sql
tier 'CloudNativePG, operand' dockerfile packaging/cloudnativepg/Dockerfile "$LIBRARY" "$CONTROL"
tier 'CloudNativePG, volume' dockerfile packaging/cloudnativepg/Dockerfile.extension lib/volguard.so \
    share/extension/volguard.control "share/extension/volguard--$VERSION.sql" licenses/volguard/copyright
tier 'archive for PGXN' packaging/test/archive.sh
rm -rf "$ROOT" "$OUT/image" "$OUT/image-root"
summary
