#!/usr/bin/env bash
# Installs the drivers of the examples below target/languages, at the versions that are pinned there: a virtual
# environment for Python, and node_modules for Node. Nothing is looked up where all is there.
set -euo pipefail
cd "$(dirname "$0")"

TARGET=$(realpath -m "${CARGO_TARGET_DIR:-../../target}")/languages

die() {
    echo "examples: $*" >&2
    exit 1
}

# Debian's Python, which every user may run, and not one that a user has built.
python() {
    local venv=$TARGET/venv
    cmp -s python/requirements.txt "$venv/installed" && return
    echo "examples: installing the Python drivers into $venv"
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv" &&
        "$venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: -r python/requirements.txt ||
        die "the Python drivers could not be installed (see above); is the registry of Python packages reachable?"
    cp python/requirements.txt "$venv/installed"
}

node() {
    local folder=$TARGET/node
    cmp -s node/package-lock.json "$folder/installed" && return
    command -v npm >/dev/null || die "no npm in PATH; install Node with its npm (Debian: nodejs npm)"
    echo "examples: installing the Node driver into $folder"
    rm -rf "$folder"
    mkdir -p "$folder"
    cp node/package.json node/package-lock.json "$folder"
    npm ci --silent --no-audit --no-fund --prefix "$folder" ||
        die "the Node driver could not be installed (see above); is the npm registry reachable?"
    cp node/package-lock.json "$folder/installed"
}

python
node
