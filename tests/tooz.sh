#!/usr/bin/env bash
# tooz's own tests, and ours, against the driver of docs/examples/python on a private Postgres: `make test-tooz`.
set -euo pipefail
cd "$(dirname "$0")/.."
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
VENV=$TARGET/tooz

# Debian's Python. Nothing is looked up where all is there.
install_tooz() {
    cmp -s tests/tooz/requirements.txt "$VENV/installed" && return
    echo "tooz: installing it into $VENV"
    rm -rf "$VENV"
    /usr/bin/python3 -m venv "$VENV"
    "$VENV/bin/pip" install -q --disable-pip-version-check --no-deps -r tests/tooz/requirements.txt
    cp tests/tooz/requirements.txt "$VENV/installed"
}

# As a user does it, so that tooz finds the driver by its entry point. pip writes beside its source.
install_driver() {
    local copy
    copy=$(mktemp -d)
    cp docs/examples/python/{pyproject.toml,tooz_volguard.py} "$copy"
    "$VENV/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall "$copy"
    rm -r "$copy"
}

install_tooz
install_driver
VOLGUARD_PACKAGE=${VOLGUARD_PACKAGE:-$TARGET/pgrx-package/debug} exec "$TARGET/debug/with-postgres" -- \
    "$VENV/bin/python" tests/tooz/run.py
