"""moved: which traces change their owner when a collector leaves its region, is down, or comes.

Policies are compiled of successive views, and 100,000 random trace ids are looked up in the tables that workers read.
What may move is the share of the one that leaves, and what the one that comes takes; anything else is a trace torn
for nothing.
"""

from __future__ import annotations

import argparse
import random
import statistics

from benchmarks.fleet.ground import heading, note, row
from sidecar._native.route import slot_of
from sidecar.config.schema import RoutingConfig
from sidecar.model import Endpoint
from sidecar.policy.compile import compile_policy
from sidecar.policy.policy import Policy
from sidecar.ports import Member
from sidecar.routing.area import Area
from sidecar.routing.view import View
from sidecar.sampling.plan import SamplingPlan

LEAVERS = 10


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="moved", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--members", default="10,100")
    given = parser.parse_args(arguments)
    dice = random.Random(1)
    slots = [slot_of(dice.randbytes(16)) for _ in range(given.traces)]
    heading(
        f"Moved traces on a membership change, {given.traces} random trace ids",
        "members",
        "change",
        "moved, %",
        "share of the member in question, %",
        "moved for nothing",
    )
    for count in map(int, given.members.split(",")):
        members = tuple(Member(f"c{i}", Endpoint(f"10.0.{i // 250}.{i % 250 + 1}", 4317)) for i in range(count))
        before = policy(View(1, members))
        newcomer = Member("newcomer", Endpoint("10.9.9.9", 4317))
        for change in ("one leaves", "one is down", "one comes"):
            moved, shares, torn = [], [], 0
            for one in [newcomer] if change == "one comes" else dice.sample(members, min(LEAVERS, count)):
                match change:
                    case "one leaves":
                        view = View(2, tuple(member for member in members if member != one))
                    case "one is down":
                        view = View(2, members, frozenset({one.name}))
                    case _:
                        view = View(2, (*members, one))
                after = policy(view, before)
                pairs = [(owner(before, slot), owner(after, slot)) for slot in slots]
                moved.append(sum(was != now for was, now in pairs))
                shares.append(sum(one in pair for pair in pairs))
                torn += sum(was != now and one not in (was, now) for was, now in pairs)
            row(
                count,
                f"{change} ({len(moved)} times)",
                f"{statistics.mean(moved) / given.traces * 100:.3f}",
                f"{statistics.mean(shares) / given.traces * 100:.3f}",
                f"{torn} of {given.traces * len(moved)}" + (" (missed)" if torn or moved != shares else ""),
            )
    note("Moved and share are equal, trace by trace: nobody else's trace changes its owner.")


def policy(view: View, previous: Policy | None = None) -> Policy:
    return compile_policy(view.epoch, [Area("here", view)], (), RoutingConfig(), SamplingPlan(), previous)


def owner(made: Policy, slot: int) -> Member:
    """Who gets it, by the table that the data plane reads."""
    return made.own.view.members[made.own.routes.table.owners_of(slot)[0]]
