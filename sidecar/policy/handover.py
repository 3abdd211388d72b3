"""From one policy to the next in a worker, without tearing traces that are under way."""

from __future__ import annotations

from sidecar._native.route import Routing
from sidecar.policy.policy import Policy
from sidecar.routing.view import owner_map

REMEMBERED_TRACES = 1 << 17
"""Traces that a worker remembers at most while a change is announced: 2 MiB at most, for as long as it takes."""


def take_over(
    policy: Policy,
    former: Policy,
    routing: Routing,
    *,
    now_ns: int,
    unix_ns: int,
    turn: int = 0,
    remember_limit: int = REMEMBERED_TRACES,
) -> Routing:
    """The Routing of `policy` for a worker that has routed by `routing` of `former` so far.

    The notice counts from now: now_ns is the monotonic clock, unix_ns the wall clock. A step of the wall clock can
    cost a trace its affinity, never a span.
    """
    successor = policy.routing(turn)
    notice_ns, window_ns = round(policy.effective_in_s * 1e9), round(policy.affinity_window_s * 1e9)
    if notice_ns or window_ns:
        successor.begin_transition(
            routing,
            owner_map(former.view.members, policy.view.members),
            now_ns=now_ns,
            effective_ns=now_ns + notice_ns,
            window_ns=window_ns,
            effective_unix_ns=unix_ns + notice_ns,
            remember_limit=remember_limit,
        )
    return successor
