"""From one policy to the next in a worker, without tearing traces that are under way."""

from __future__ import annotations

from sidecar._native.route import Routing
from sidecar.policy.policy import Policy, RoutedArea
from sidecar.routing.view import owner_map

REMEMBERED_TRACES = 1 << 17
"""Traces that a worker remembers at most while a change is announced: 2 MiB at most for each area, while it takes."""


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
    """The Routing of `policy` for a worker that has routed by `routing` of `former` so far, and no longer does.

    An area that is as it was goes on where it is, a change under way in it too. The notice of a new change counts from
    now: now_ns is the monotonic clock, unix_ns the wall clock. A step of the wall clock can cost a trace its affinity,
    never a span. Services are still to be sent to their areas.
    """
    successor = policy.routing(turn)
    places = {area.region: number for number, area in enumerate(former.areas)}
    notice_ns, window_ns = round(policy.effective_in_s * 1e9), round(policy.affinity_window_s * 1e9)
    unchanged = []
    for number, area in enumerate(policy.areas):
        place = places.get(area.region)
        if place is None:  # a region that rules did not name before
            continue
        if _goes_on(area, former.areas[place]):
            unchanged.append((number, place))
        elif notice_ns or window_ns:
            successor.begin_transition(
                routing,
                owner_map(former.areas[place].view, area.view),
                area=number,
                old_area=place,
                now_ns=now_ns,
                effective_ns=now_ns + notice_ns,
                window_ns=window_ns,
                effective_unix_ns=unix_ns + notice_ns,
                remember_limit=remember_limit,
            )
    for number, place in unchanged:  # last: it takes from the former one
        successor.go_on(routing, area=number, old_area=place)
    return successor


def _goes_on(area: RoutedArea, former: RoutedArea) -> bool:
    """Whether every item goes where it went: the same members by the same numbers, chosen in the same way."""
    if area is former:
        return True
    addresses = [member.address for member in area.view.members]
    return addresses == [one.address for one in former.view.members] and area.routes.table.says_the_same(
        former.routes.table
    )
