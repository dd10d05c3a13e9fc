#!/usr/bin/env bash
# build.sh: packages the extension for Debian, for the Postgres of PG_CONFIG, and prints the path of the package:
# target/packages/postgresql-NN-volguard_VERSION_ARCHITECTURE.deb. DEB_VERSION gives it another version, as a second
# package of the same release needs; VOLGUARD_BUILT names a folder with what is built already.
#
# dpkg-deb and a folder: the build is one call of cargo pgrx, whose crates come from a registry. debhelper would add a
# source package that Debian's builders, without a network, could not build.
set -euo pipefail
cd "$(dirname "$0")/../.."

PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
MAINTAINER="${DEBFULLNAME:-The volguard authors} <${DEBEMAIL:-volguard@localhost.localdomain}>"

major=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
release=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
version=${DEB_VERSION:-$release}
architecture=$(dpkg --print-architecture)
name=postgresql-$major-volguard
out=$TARGET/packages
root=$out/root-$major
documents=$root/usr/share/doc/$name
# The same content has the same dates, wherever and whenever it is packaged.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH

# The files, at Debian's places, wherever the Postgres is that they were built for.
lay_out() {
    local built=$1 library share file
    library=$built$("$PG_CONFIG" --pkglibdir)/volguard.so
    share=$built$("$PG_CONFIG" --sharedir)/extension
    rm -rf "$root"
    install -D -m 644 "$library" "$root/usr/lib/postgresql/$major/lib/volguard.so"
    strip --strip-unneeded --remove-section=.comment "$root/usr/lib/postgresql/$major/lib/volguard.so"
    # What an earlier version of the tree has left in the folder of builds belongs to no package.
    for file in volguard.control "volguard--$release.sql"; do
        install -D -m 644 "$share/$file" "$root/usr/share/postgresql/$major/extension/$file"
    done
    for file in sql/volguard--*--*.sql; do
        [[ ! -e $file ]] || install -m 644 "$file" "$root/usr/share/postgresql/$major/extension/"
    done
}

# The text of a license, as a field of a copyright file.
license() {
    sed '1,/^Permission/{/^Permission/!d}; s/^$/./; s/^/ /' LICENSE-MIT
}

# Each crate that is in the library, with its license and the notices that have to come with it. Debian has the text of
# Apache-2.0.
crates() {
    local crate version license file
    cargo tree --locked -p volguard-extension -e normal --no-default-features --features "pg$major" --prefix none \
        --format '{p}: {l}' | sed 's/ (\*)$//; s/ (proc-macro)//' | grep -v '^volguard' | sort -u |
        while read -r crate version license; do
            version=${version%:}
            printf '== %s %s: %s\n\n' "$crate" "${version#v}" "$license"
            for file in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate-${version#v}"/{LICENSE,COPYING,UNLICENSE}*; do
                [[ ! -f $file || $file == *APACHE* ]] || { cat "$file" && echo; }
            done
        done
}

documents() {
    mkdir -p "$documents"
    sed -e "/^@MIT@$/{r /dev/stdin
d}" packaging/deb/extension/copyright < <(license) >"$documents/copyright"
    crates | gzip -9n >"$documents/crates.gz"
    cp README.md "$documents/README.md"
    gzip -9nc CHANGELOG.md >"$documents/CHANGELOG.md.gz"
    {
        printf '%s (%s) unstable; urgency=medium\n\n  * volguard %s: see CHANGELOG.md.gz.\n\n' "$name" "$version" "$release"
        printf ' -- %s  %s\n' "$MAINTAINER" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
    } | gzip -9n >"$documents/changelog.gz"
    chmod 644 "$documents"/*
}

# What the library needs of the system, as dpkg-shlibdeps says. Its symbols of Postgres are the server's, which loads it.
libraries() {
    local work
    work=$(mktemp -d)
    mkdir "$work/debian"
    printf 'Source: volguard\n\nPackage: %s\nArchitecture: any\n' "$name" >"$work/debian/control"
    (cd "$work" && dpkg-shlibdeps -O --warnings=0 -e"$root/usr/lib/postgresql/$major/lib/volguard.so") |
        sed -n 's/^shlibs:Depends=//p'
    rm -rf "$work"
}

control() {
    local size needed
    needed=$(libraries)
    [[ -n $needed ]] || { echo "build.sh: dpkg-shlibdeps found no library that volguard.so needs" >&2; exit 1; }
    size=$(du -sk --apparent-size "$root" | cut -f 1)
    mkdir -p "$root/DEBIAN"
    sed "s|@MAJOR@|$major|; s|@VERSION@|$version|; s|@ARCHITECTURE@|$architecture|; s|@MAINTAINER@|$MAINTAINER|
         s|@SIZE@|$size|; s|@LIBRARIES@|$needed|" packaging/deb/extension/control >"$root/DEBIAN/control"
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
}

built=${VOLGUARD_BUILT:-}
if [[ -z $built ]]; then
    # Another build than that for use is compiled sooner.
    build=${VOLGUARD_BUILD:-release}
    case $build in
    release) packaging/release.sh >&2 ;;
    *) tests/package.sh "$build" >&2 ;;
    esac
    built=$(tests/package.sh where 2>/dev/null || echo "$TARGET/pgrx-package")/$build
fi
compression=${VOLGUARD_COMPRESSION:-xz}
umask 022
lay_out "$built"
documents
control
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$out/${name}_${version}_$architecture.deb
dpkg-deb --root-owner-group "-Z$compression" --build "$root" "$package" >&2
rm -rf "$root"
echo "$package"
