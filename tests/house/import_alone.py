"""Import each named module where nothing else of `sidecar` is loaded: `python -m tests.house.import_alone NAME...`

One process forks a child for each module, so that the libraries below are loaded once and not a hundred times.
Prints one block for each module that does not import alone, and ends with 1 where there is one.
"""

import importlib
import os
import sys
import traceback
from contextlib import suppress

LIBRARIES = (
    "asyncio",
    "click",
    "msgspec",
    "orjson",
    "prometheus_client",
    "psutil",
    "rich",
    "starlette.responses",
    "structlog",
    "uvicorn",
    "yaml",
)


def imports_alone(name: str) -> bool:
    """Fork, import, and tell by the child's exit status; the child prints why not."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            importlib.import_module(name)
            status = 0
        except BaseException:  # noqa: BLE001  a module that exits on import is as broken as one that raises
            print(f"{name} does not import alone:\n{traceback.format_exc(limit=-3)}", flush=True)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main(names: list[str]) -> int:
    for library in LIBRARIES:
        with suppress(ImportError):  # the module that needs it will tell
            importlib.import_module(library)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "sidecar"]
    if loaded:
        print(f"not a fresh interpreter: {loaded}")
        return 1
    alone = [imports_alone(name) for name in names]
    return 0 if all(alone) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
