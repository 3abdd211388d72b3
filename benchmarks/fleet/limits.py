"""limits: what two real gateways pass of five times max_qps, by their ledgers, in windows of ten seconds.

Gateways, etcd, collectors and generators are processes; the limit holds for both gateways together. In the second part
the load of one gateway is four times that of the other, and in the third it is `per_service_limit` that holds.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from itertools import count

from benchmarks.fleet.ground import etcd, heading, row
from tests.fleet.stage import Stage, staged
from tests.harness.load import Generator

GOAL = 0.05
WINDOW_S = 10.0
SETTLE_S = 20.0
TIMES = 5
SPANS = 20
"""In a request."""
PRODUCT = {"coordination.lease_ttl": "15s", "coordination.announce_every": "2s", "coordination.timeout": "4s"}
"""The tests of the fleet shorten them."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="limits", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--max-qps", type=int, default=4000)
    parser.add_argument("--windows", type=int, default=6)
    given = parser.parse_args(arguments)
    heading(
        f"Limit of {given.max_qps} spans/s, {TIMES} times as many sent, windows of {WINDOW_S:.0f} s",
        "case",
        "kept, % of the limit in each window (goal 95 to 105)",
    )
    with etcd() as cluster, staged(cluster, ("east",), 2, settings=PRODUCT) as stage:
        for name, limit, shares in (
            ("max_qps, equal loads", "max_qps", (1, 1)),
            ("max_qps, loads 4 : 1", "max_qps", (4, 1)),
            ("per_service_limit, one service", "per_service_limit", (1, 1)),
        ):
            stage.apply(f"global:\n  rate_limiting: {{{limit}: {given.max_qps}, burst_size: {given.max_qps // 10}}}\n")
            windows = measure(stage, given.max_qps, shares, given.windows)
            missed = any(abs(one - 1) > GOAL for one in windows)
            row(name, " ".join(f"{one * 100:.1f}" for one in windows) + (" (missed)" if missed else ""))


def measure(stage: Stage, limit: int, shares: tuple[int, int], windows: int) -> list[float]:
    """What was kept in each window, as a part of the limit."""
    requests = limit * TIMES / SPANS / sum(shares)
    with ExitStack() as stack:
        for gateway, share in zip(stage.gateways, shares, strict=True):
            options = {"conns": 2, "streams": 20, "rate": round(requests * share), "seconds": 600}
            stack.enter_context(Generator(gateway.port, spans=SPANS, seed=next(_seeds), **options))
        time.sleep(SETTLE_S)
        found = []
        begun_s, before = time.monotonic(), _kept(stage)
        for _ in range(windows):
            time.sleep(max(begun_s + WINDOW_S - time.monotonic(), 0.0))
            now_s, now = time.monotonic(), _kept(stage)
            found.append((now - before) / (now_s - begun_s) / limit)
            begun_s, before = now_s, now
    return found


def _kept(stage: Stage) -> int:
    rows = [gateway.ledger() for gateway in stage.gateways]
    return sum(row.received - row.sampled_out - row.rejected for row in rows)


_seeds = count(1)
"""So that no two spans are alike."""
