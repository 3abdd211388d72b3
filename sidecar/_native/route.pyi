from typing import Final

from typing_extensions import Buffer

from sidecar._native.scan import Tick

OWNING: Final[int]
SEQUENCE: Final[int]
LEAST: Final[int]
NONE: Final[int]  # in a table or an owner map: nobody

class Routing:
    # primary uint16[65536], after uint16[65536][2], sequence uint16[n]
    def __init__(
        self,
        mode: int,
        owners: int,
        *,
        primary: Buffer | None = None,
        after: Buffer | None = None,
        sequence: Buffer | None = None,
        turn: int = 0,
    ) -> None: ...
    # owner_map uint16[owners of old]; the number of slots that move
    def begin_transition(
        self,
        old: Routing,
        owner_map: Buffer,
        *,
        now_ns: int,
        effective_ns: int,
        window_ns: int,
        effective_unix_ns: int,
        remember_limit: int,
    ) -> int: ...
    def owners_of(self, slot: int) -> tuple[int, int, int]: ...
    @property
    def detoured(self) -> int: ...
    @property
    def stayed(self) -> int: ...
    @property
    def remembered(self) -> int: ...
    @property
    def passed_over(self) -> int: ...
    @property
    def in_transition(self) -> bool: ...

def slot_of(trace_id: Buffer) -> int: ...
def assign(tick: Tick, routing: Routing) -> None: ...
def set_avoid(tick: Tick, doc: int, owner: int) -> None: ...
