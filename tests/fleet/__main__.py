"""`make fleet`: a whole fleet on this machine, to look at.

It runs in a session of its own, so that Ctrl-C reaches this process alone, and not every gateway and member of etcd.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from types import FrameType


def main() -> int:
    """Runs the show, and passes on what it is told."""
    show = subprocess.Popen([sys.executable, "-m", "tests.fleet.show", *sys.argv[1:]], start_new_session=True)

    def stop(_number: int, _frame: FrameType | None) -> None:
        show.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    return show.wait()


if __name__ == "__main__":
    sys.exit(main())
