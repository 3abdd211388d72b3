#!/bin/sh
# Everything that reads the code without running it. Each check runs, also after another has failed.
set -u
cd "$(dirname "$0")/.." || exit
failed=

check() {
    echo "lint: $*"
    what=$* program=$1 && shift
    ".venv/bin/$program" "$@" || failed="${failed:+$failed, }$what"
}

check ruff check .
check ruff format --check .
check mypy
check lint-imports --no-cache --no-logo
[ -z "$failed" ] || { echo "lint: failed: $failed" && exit 1; }
