"""Faults planted in split and the batches, to see that the fuzz finds each (see tests/kernels/planted.py)."""

from __future__ import annotations

from functools import partial

from tests.kernels.planted import Fault

Planted = partial(Fault, module="split", fuzz="tests.split.fuzz")

FAULTS = [
    Planted("the first owner has all", "split.pyx", "if t.items[i].owner == it.owner", "if True"),
]
