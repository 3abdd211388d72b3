#!/bin/sh
# Side-by-side runs with the peers that are installed: tools/bench.sh [ARGUMENTS OF benchmarks/compare.py]
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH # spangate and, where it is installed, rotel
if [ -z "${OTELCOL:-}" ]; then
    OTELCOL=$(.venv/bin/python -c 'from tests.parts import built; print(built("otelcol") or "")')
fi
export PATH OTELCOL
exec .venv/bin/python benchmarks/compare.py "$@"
