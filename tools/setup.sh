#!/bin/sh
# Set up .venv with Spangate in it: tools/setup.sh [demo|test].
#
# What the build needs and the machine lacks comes through apt, where apt and root (or sudo without a password) are at
# hand; elsewhere the command to give is printed, and this ends with 1. A second call does nothing, until pyproject.toml,
# setup.py or a native source has changed. PYTHON chooses another python3.
set -eu

extra=${1:-test}
case $extra in
    demo | test) ;;
    *) echo "usage: tools/setup.sh [demo|test]" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/.."
venv=.venv

say() { echo "setup: $*" >&2; }
fail() { say "$*" && exit 1; }

# ---- one call at a time: make test and make run may be started side by side
exec 9<pyproject.toml
if command -v flock >/dev/null; then flock 9; fi

# ---- Python
supported() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if supported "$candidate"; then python=$candidate && break; fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed; ${PYTHON:-python3} is not one (PYTHON=... names another)"

# ---- what the second call looks at
fingerprint() {
    {
        echo "$1" && pwd && "$python" -c 'import sys; print(sys.version, sys.base_prefix)'
        cat pyproject.toml setup.py MANIFEST.in
        find native -type f ! -name '*.c' ! -name '*.html' -print | LC_ALL=C sort | while read -r file; do
            echo "$file" && cat "$file"
        done
        find sidecar/_native -name '*.so' -print | LC_ALL=C sort # a built module that is gone is built again
    } 2>/dev/null | sha256sum
}
done_for() { [ "$(cat "$venv/.set-up-for-$1" 2>/dev/null)" = "$(fingerprint "$1")" ]; }
if "$venv/bin/python" -c '' 2>/dev/null; then
    if done_for test || done_for "$extra"; then exit 0; fi # test includes demo
else
    rm -rf "$venv" # none yet, or one that was moved here from elsewhere
fi

# ---- what apt has to bring
compiles() { echo "#include <$1>" | "${CC:-cc}" -E -x c - >/dev/null 2>&1; }
missing_packages() {
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    # A Python of Debian's is completed by packages of the same number; python3-venv is the one of /usr/bin/python3.
    number=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    name=python$number
    if [ "$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$number" ]; then
        name=python3
    fi
    command -v "${CC:-cc}" >/dev/null || echo gcc libc6-dev
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$name-venv"
    [ -f "$include/Python.h" ] || echo "$name-dev"
    compiles nghttp2/nghttp2.h || echo libnghttp2-dev
    compiles libdeflate.h || echo libdeflate-dev
    compiles isa-l/igzip_lib.h || echo libisal-dev
    compiles zlib.h || echo zlib1g-dev
    command -v git >/dev/null || echo git # tests/house asks it for the list of files
}
missing=$(missing_packages | tr '\n' ' ' | sed 's/ $//')
if [ -n "$missing" ]; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    by_hand="apt-get update && ${as_root:+sudo }apt-get install -y --no-install-recommends $missing"
    command -v apt-get >/dev/null || fail "missing: $missing (as Debian names them)"
    if [ -n "$as_root" ] && ! sudo -n true 2>/dev/null; then
        fail "missing: $missing; give this command, then try again:
    ${as_root:+sudo }$by_hand"
    fi
    say "installing $missing"
    # shellcheck disable=SC2086  # several packages
    said=$({
        $as_root apt-get update -qq &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
    } 2>&1 </dev/null) || fail "apt could not:
$said
setup: by hand:
    ${as_root:+sudo }$by_hand"
    still=$(missing_packages | tr '\n' ' ')
    [ -z "$still" ] || fail "still missing after apt: $still(is $python one that apt does not know? PYTHON=/usr/bin/python3)"
fi

# ---- the virtual environment
say "building Spangate into $venv"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
"$venv/bin/python" -m pip install --quiet --quiet --editable ".[$extra]"
fingerprint "$extra" >"$venv/.set-up-for-$extra"
