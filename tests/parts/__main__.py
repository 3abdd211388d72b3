"""Build the parts that are missing: `python -m tests.parts [--list] [--optional] [name ...]`."""

import argparse
import os
import sys
import time

from tests.parts import PARTS, PartBroken, PartMissing, binary, built


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.parts", description="Build the real parts of the tests.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(PARTS)}; all where none is given")
    parser.add_argument("--list", action="store_true", help="say what is built and where, and build nothing")
    parser.add_argument("--optional", action="store_true", help="want of Go is no failure (it is one where CI=true)")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)} (there are {', '.join(PARTS)})")
    args.names = args.names or list(PARTS)
    return args


def _make(name: str, *, optional: bool) -> bool:
    """Have one part ready, and print one line; False is a failure."""
    label = f"{name} {PARTS[name].version}"
    cached = built(name) is not None
    start = time.monotonic()
    try:
        path = binary(name)
    except PartMissing as missing:
        print(f"{label}: missing: {missing}", flush=True)
        return optional
    except PartBroken as broken:
        print(f"{label}: failed after {time.monotonic() - start:.1f} s: {broken}", flush=True)
        return False
    if path != built(name):
        print(f"{label}: not built for want of Go; an older one of a wheel stands in: {path}", flush=True)
        return True
    print(f"{label}: {'cached' if cached else 'built'} in {time.monotonic() - start:.1f} s: {path}", flush=True)
    return True


def main() -> int:
    args = _arguments()
    if args.list:
        for name in args.names:
            print(f"{name} {PARTS[name].version}: {built(name) or 'not built'}")
        return 0
    optional = args.optional and os.environ.get("CI") != "true"
    ready = [_make(name, optional=optional) for name in args.names]
    return 0 if all(ready) else 1


if __name__ == "__main__":
    sys.exit(main())
