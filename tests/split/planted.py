"""Faults planted in split and the batches, to see that the fuzz finds each (see tests/kernels/planted.py)."""

from __future__ import annotations

from functools import partial

from tests.kernels.planted import Fault

_split = partial(Fault, file="split.pyx", module="split", fuzz="tests.split.fuzz")

FAULTS = [
    _split(
        "neighbours go to the owner of the first",
        old="while i < b and t.items[i].owner == it.owner and",
        new="while i < b and",
    ),
    _split(
        "only the first part has the unknown fields of the request",
        old="        if d.frags:\n",
        new="        if d.frags and k.ntouched == 1:\n",
    ),
    _split(
        "a resource goes as it came although an item was left out",
        old="            plain = False\n            continue\n",
        new="            continue\n",
    ),
    _split(
        "a resource with old scopes goes as it came",
        old="plain and not rs.dropped and",
        new="plain and",
    ),
    _split(
        "what edits add does not count towards the limit",
        old="if k.size > limit:",
        new="if d.size > limit:",
    ),
    _split(
        "headers do not count towards the limit",
        old="                    used = around\n",
        new="                    used = 0\n",
    ),
    _split(
        "a metric counts for one, whatever it has of points",
        old="if r.signal == SIGNAL_METRICS:",
        new="if False:",
    ),
    Fault(
        "a full batch takes one part more",
        "batch.pyx",
        "b.items >= core.batch_limit_items",
        "b.items > core.batch_limit_items",
        "batch",
        "tests.split.fuzz",
    ),
]
