from collections.abc import Sequence
from typing import Final

from typing_extensions import Buffer

from sidecar._native.scan import Tick

OWNING: Final[int]
SEQUENCE: Final[int]
LEAST: Final[int]
NONE: Final[int]  # in a table or an owner map: nobody
AREAS_MAX: Final[int]

class Table:
    mode: Final[int]
    owners: Final[int]
    # primary uint16[65536], after uint16[65536][2], sequence uint16[n]
    def __init__(
        self,
        mode: int,
        owners: int,
        *,
        primary: Buffer | None = None,
        after: Buffer | None = None,
        sequence: Buffer | None = None,
    ) -> None: ...
    def owners_of(self, slot: int) -> tuple[int, int, int]: ...
    def says_the_same(self, other: Table) -> bool: ...

class Routing:
    # places: by area uint16[its owners]
    def __init__(
        self,
        tables: Sequence[Table],
        *,
        places: Sequence[Buffer] | None = None,
        owners: int | None = None,
        turn: int = 0,
    ) -> None: ...
    def set_area(self, service: int, area: int) -> None: ...
    def area_of(self, service: int) -> int: ...
    def go_on(self, old: Routing, *, area: int = 0, old_area: int = 0) -> None: ...
    # owner_map uint16[owners of the old area]; the number of slots that move
    def begin_transition(
        self,
        old: Routing,
        owner_map: Buffer,
        *,
        area: int = 0,
        old_area: int = 0,
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
    def fell_back(self) -> int: ...
    @property
    def split_by_rules(self) -> int: ...
    @property
    def remembered(self) -> int: ...
    @property
    def passed_over(self) -> int: ...
    @property
    def in_transition(self) -> bool: ...

def slot_of(trace_id: Buffer) -> int: ...
def assign(tick: Tick, routing: Routing) -> None: ...
def set_avoid(tick: Tick, doc: int, owner: int) -> None: ...
