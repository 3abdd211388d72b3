#!/bin/sh
# The whole test run: lint, the build of the real parts and the unit tests side by side, then by themselves the tests that
# start processes. Everything runs, also after a failure; ends with 1 where anything failed. pytest has the last word.
set -u
cd "$(dirname "$0")/.." || exit
apart='interop or process'
logs=$(mktemp -d)
lint='' parts='' unit=''
trap 'rm -rf "$logs"' EXIT
trap 'kill $lint $parts $unit 2>/dev/null; exit 130' INT TERM

stage() { # NAME COMMAND...: run, keep what it prints, and note how it ended and how long it took
    name=$1 && shift
    start=$(date +%s)
    "$@" >"$logs/$name" 2>&1 </dev/null &
    child=$!
    trap 'kill "$child"; exit 143' TERM
    wait "$child"
    code=$?
    echo "$name $([ "$code" = 0 ] && echo ok || echo FAILED) ($(($(date +%s) - start)) s)" >"$logs/$name.end"
    return "$code"
}

colour=no && [ ! -t 1 ] || colour=yes
echo "test: lint, parts and unit tests, side by side; where the parts have never been built, that takes some minutes"
stage lint nice -n 5 tools/lint.sh & lint=$!
stage parts nice -n 10 .venv/bin/python -m tests.parts --optional & parts=$!
stage unit .venv/bin/pytest -n logical --maxprocesses 8 --color="$colour" -m "not ($apart or soak)" & unit=$!

failed=0
wait "$unit" || failed=1
cat "$logs/unit"
wait "$lint" || failed=1
cat "$logs/lint"
wait "$parts" || failed=1
cat "$logs/parts"
echo "test: $(cat "$logs/lint.end"), $(cat "$logs/parts.end"), $(cat "$logs/unit.end"); now the tests with processes"

.venv/bin/pytest -m "($apart) and not soak"
case $? in
    0) ;;
    5) tail -n 1 "$logs/unit" ;; # there are none: the unit tests are the run
    *) failed=1 ;;
esac
exit "$failed"
