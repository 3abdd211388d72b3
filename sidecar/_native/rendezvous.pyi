from typing import Final

from typing_extensions import Buffer

SLOTS: Final[int]
MEMBERS_MAX: Final[int]
NONE: Final[int]  # in a table: nobody
WEIGHT_MIN: Final[float]
WEIGHT_MAX: Final[float]

def identity_key(identity: Buffer) -> int: ...

# primary uint16[SLOTS], after uint16[SLOTS][2], keys uint64[n], weights float64[n]; the first two are written
def fill(primary: Buffer, after: Buffer, keys: Buffer, weights: Buffer) -> None: ...
def refill(
    primary: Buffer,
    after: Buffer,
    keys: Buffer,
    weights: Buffer,
    old_primary: Buffer,
    old_after: Buffer,
    old_keys: Buffer,
    old_weights: Buffer,
) -> None: ...
