from typing import NamedTuple

from sidecar._native.core import WorkerCore

class PartRow(NamedTuple):
    body: bytes
    items: int
    services: tuple[tuple[int, int], ...]  # number in the ledger, items
    rerouted: bool

# what gathers or waits for a backend, for tests: the parts of each batch
def unsent(core: WorkerCore, slot: int, signal: int) -> list[list[PartRow]]: ...
