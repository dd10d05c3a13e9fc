#!/usr/bin/env bash
# Builds Debian's Postgres 15 with assertions, into target/postgres-assert/installation, unless this script has done
# so before.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGE=postgresql-15
SCRIPT=$PWD/tests/postgres_assert.sh
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
HOME_OF_BUILD=$TARGET/postgres-assert
INSTALLATION=$HOME_OF_BUILD/installation
SOURCES=(/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources)

die() {
    echo "postgres_assert: $*" >&2
    exit 1
}

# The sources of packages come from where the machine has its packages from. apt gets lists and a cache of its own, so
# that the machine's configuration stays as it is.
configure_apt() {
    local file
    mkdir -p "$WORK"/{parts,lists/partial,cache/archives/partial}
    for file in "${SOURCES[@]}"; do
        [[ -f $file ]] || continue
        sed -E 's/^deb([[:space:]])/deb-src\1/; s/^(Types:).*/\1 deb-src/' "$file" >"$WORK/parts/${file##*/}"
    done
    printf '%s\n' >"$WORK/apt.conf" \
        'Dir::Etc::SourceList "/dev/null";' \
        "Dir::Etc::SourceParts \"$WORK/parts\";" \
        "Dir::State::Lists \"$WORK/lists\";" \
        "Dir::Cache \"$WORK/cache\";" \
        'APT::Sandbox::User "";'
    export APT_CONFIG=$WORK/apt.conf
}

# The version that is installed, so that a failure with assertions means the same server as one without.
fetch_source() {
    local version
    version=$(dpkg-query -W -f '${source:Version}' "$PACKAGE") || die "$PACKAGE is not installed: make setup"
    configure_apt
    apt-get update -q
    (cd "$WORK" && { apt-get source -q "$PACKAGE=$version" || apt-get source -q "$PACKAGE"; }) ||
        die "apt knows no source of $PACKAGE"
    SOURCE=$(echo "$WORK/$PACKAGE"-*/)
}

# The tarball has what bison and flex make. The tests need ICU, XML and OpenSSL, contrib, and the drivers of
# regress.
build() {
    cd "$SOURCE"
    ./configure --prefix="$INSTALLATION" --enable-cassert --enable-debug --with-icu --with-libxml \
        --with-openssl --without-readline CFLAGS='-O2 -g -fno-omit-frame-pointer' >configure.log || die "see $SOURCE/configure.log"
    local directory
    for directory in . contrib src/test/regress src/test/isolation; do
        # Below another make, Postgres leaves out the headers that it generates.
        env -u MAKELEVEL -u MAKEFLAGS make -s -j"$(nproc)" -C "$directory" install DESTDIR="$WORK/root"
    done
}

cmp -s "$SCRIPT" "$INSTALLATION/built_by" && exit
WORK=$HOME_OF_BUILD/source
rm -rf "$WORK"
mkdir -p "$WORK"
fetch_source
build
cp "$SCRIPT" "$WORK/root$INSTALLATION/built_by"
# Complete or not there at all.
rm -rf "$INSTALLATION"
mv "$WORK/root$INSTALLATION" "$INSTALLATION"
rm -rf "$WORK"
