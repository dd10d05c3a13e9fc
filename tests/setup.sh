#!/usr/bin/env bash
# Installs what building, testing and the demo need, and nothing that is there already: `make setup`.
# With the argument `bench`, also the servers that the benchmarks compare with; with `drill`, Patroni and its etcd; with
# `languages`, Go and its driver; with `assert`, what a Postgres with assertions is made of; with `tooz`, what Python
# packages need; with `packages`, what packages are checked with. With `build`, only what the extension is built with: a
# database host needs no tools for tests.
set -euo pipefail
cd "$(dirname "$0")"

PURPOSE=${1:-}
CARGO_PGRX=0.18.1
DEBIAN_PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
PG_CONFIG=${PG_CONFIG:-$DEBIAN_PG_CONFIG}
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-../target}")

# pgrx: libclang-dev for bindgen. cargo-pgrx: libssl-dev, which it links. The tests: libfaketime, for a date that jumps.
PACKAGES=(build-essential pkg-config libssl-dev libclang-dev pgbouncer libfaketime)
if [[ $PG_CONFIG == "$DEBIAN_PG_CONFIG" ]]; then
    PACKAGES+=(postgresql-15 postgresql-server-dev-15)
fi
case $PURPOSE in
bench) PACKAGES+=(etcd-server redis-server rabbitmq-server) ;;
drill) PACKAGES+=(etcd-server python3-venv) ;;
tooz) PACKAGES+=(python3-venv) ;;
languages)
    PACKAGES+=(golang-go golang-github-jackc-pgx-v4-dev python3-venv)
    # Node of another source brings its npm, which Debian's would not go with.
    command -v npm >/dev/null || PACKAGES+=(nodejs npm)
    ;;
assert) PACKAGES+=(dpkg-dev libicu-dev libxml2-dev zlib1g-dev) ;;
packages) PACKAGES+=(dpkg-dev debootstrap lintian zip unzip) ;;
build)
    PACKAGES=(build-essential pkg-config libssl-dev libclang-dev)
    [[ $PG_CONFIG != "$DEBIAN_PG_CONFIG" ]] || PACKAGES+=(postgresql-server-dev-15)
    ;;
esac

die() {
    echo "setup: $*" >&2
    exit 1
}

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

install_packages() {
    command -v dpkg-query apt-get >/dev/null || [[ $PURPOSE == build ]] ||
        die "this is not Debian; install the equivalents of: ${PACKAGES[*]}"
    # Elsewhere the checks below say what is missing.
    command -v dpkg-query >/dev/null || return 0
    local missing as_root=()
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0

    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "no sudo here; as root run: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    "${as_root[@]}" "$PWD/setup_packages.sh" "${missing[@]}" ||
        die "Debian packages could not be installed (see above); needed: ${missing[*]}"
}

check_pg_config() {
    [[ -x $PG_CONFIG ]] || die "PG_CONFIG=$PG_CONFIG is not there; unset it to use Debian's Postgres 15"
    [[ -f $("$PG_CONFIG" --includedir-server)/postgres.h ]] ||
        die "$PG_CONFIG has no server headers; install the development package of that Postgres"
}

check_rust() {
    command -v cargo >/dev/null ||
        die "no cargo in PATH; install Rust: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' ../Cargo.toml)
    found=$(cargo --version | cut -d ' ' -f 2)
    printf '%s\n' "$needed" "$found" | sort --check=quiet --version-sort ||
        die "Rust $found is too old, $needed is needed: rustup update stable"
    [[ $PURPOSE != build ]] || return 0
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
        rustup component add rustfmt clippy ||
        die "rustfmt and clippy are missing: rustup component add rustfmt clippy"
}

install_cargo_pgrx() {
    [[ $(cargo pgrx --version 2>/dev/null) == "cargo-pgrx $CARGO_PGRX" ]] && return
    echo "setup: installing cargo-pgrx $CARGO_PGRX, which takes some minutes"
    # The extension pins the same version; another one refuses to build it.
    cargo install --locked cargo-pgrx --version "$CARGO_PGRX" --force ||
        die "cargo-pgrx could not be installed (see above); is the registry of crates reachable?"
}

# What postgres.sh has fetched belongs to this tree: package.sh names it to pgrx, whose configuration is the user's.
register_postgres() {
    [[ $PG_CONFIG != "$TARGET"/* ]] || return 0
    local major config
    major=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    config=${PGRX_HOME:-$HOME/.pgrx}/config.toml
    local known
    known=$(sed -n "s/^pg$major = [\"']\(.*\)[\"']/\1/p" "$config" 2>/dev/null || true)
    [[ -x $known ]] && return
    cargo pgrx init "--pg$major" "$PG_CONFIG" || die "cargo pgrx init failed (see above)"
}

# Debian's Python, which user postgres may run as well. Nothing is looked up where all is there.
install_patroni() {
    local venv
    venv=$TARGET/patroni
    cmp -s patroni.txt "$venv/installed" && return
    echo "setup: installing Patroni into $venv"
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv" &&
        "$venv/bin/pip" install -q --disable-pip-version-check --no-deps -r patroni.txt ||
        die "Patroni could not be installed (see above); is the registry of Python packages reachable?"
    cp patroni.txt "$venv/installed"
}

install_packages
check_pg_config
check_rust
install_cargo_pgrx
register_postgres
[[ $PURPOSE != drill ]] || install_patroni
