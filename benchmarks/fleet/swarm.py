"""swarm: 10,000 simulated gateways with real leases and watches on a real etcd, led by real leaders.

A simulated gateway has a lease of its own, kept alive (Session), its announcement, made and left out as a gateway's
is (Announcer), and three watches (Mirror): configuration, target, view. It compiles nothing. Twenty of them share a
connection and its watch stream, which saves this machine the sockets and etcd the streams, not the watches. Each region
has one whole Coordinator, which leads it; the first of them leads the fleet as well.

All of it runs on one machine, clients too: what it cannot do with the intervals of the product it does with longer
ones (--lease-ttl, --timeout, --announce-every), which the table names. A lease costs three renewals in its ttl, and a
quiet watch looks after etcd once in twice the timeout, so that both divide what a fleet costs while nothing happens.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import resource
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from benchmarks.fleet.child import Children, children
from benchmarks.fleet.ground import (
    etcd,
    etcd_counts,
    etcd_cpu_s,
    etcd_processes,
    heading,
    note,
    percentile,
    row,
    rss_mb,
)
from benchmarks.fleet.swarm_member import Seen, Swarm, answered, run_leaders, run_swarm
from sidecar.control.records import Blob
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.keys import Keys
from tests.coord.cluster import EtcdCluster

READY_S, SEEN_S = 1800.0, 300.0
SETTLE_S = 10.0
LOOKS = 10


COUNTED = (
    "etcd_mvcc_put_total",
    "etcd_debugging_mvcc_events_total",
    "etcd_debugging_lease_renewed_total",
    "etcd_mvcc_range_total",
    "etcd_debugging_mvcc_watch_stream_total",
)
"""Puts are applied by all three members, and are counted by each."""


class Steady(NamedTuple):
    """While nothing but load changes; per second, of all members."""

    writes: float
    events: float
    renewals: float
    reads: float
    watches: float
    etcd_cpu: float
    etcd_rss_mb: float
    region_cpu: float
    """Of one core: the leader of one region."""
    fleet_cpu: float
    """The same, of the leader of the fleet, without its region."""
    clients_cpu: float
    clients_rss_mb: float


class Figures(NamedTuple):
    """Of one run."""

    registered_s: float
    steady: Steady
    reached_s: Mapping[int, float]
    """By version of the configuration: from the start of its write to the last gateway that has it."""
    seen: Seen


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="swarm", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gateways", type=int, default=10_000)
    parser.add_argument("--regions", type=int, default=20)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--per-connection", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="of steady state")
    parser.add_argument("--configs", type=int, default=6, help="writes of the configuration")
    parser.add_argument("--pause", type=float, default=20.0, help="seconds after each of them")
    parser.add_argument("--change-every", type=float, default=60.0, help="seconds between changes of a gateway's load")
    parser.add_argument("--lease-ttl", type=float, default=120.0)
    parser.add_argument("--timeout", type=float, default=30.0)
    parser.add_argument("--announce-every", type=float, default=2.0)
    given = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    heading(
        f"{given.gateways} simulated gateways in {given.regions} regions: lease {given.lease_ttl:g} s, call timeout "
        f"{given.timeout:g} s, load changes every {given.change_every:g} s",
        "figure",
        "value",
    )
    report(asyncio.run(measure(given)), given)


def report(figures: Figures, given: argparse.Namespace) -> None:
    seen, steady = figures.seen, figures.steady
    expected = seen.gateways * given.configs
    row("all registered, with three watches each, after", f"{figures.registered_s:.1f} s")
    row("writes / events sent per second", f"{steady.writes:.0f} / {steady.events:.0f}")
    row("renewals of leases / reads per second", f"{steady.renewals:.0f} / {steady.reads:.0f}")
    row("watch streams", f"{steady.watches:.0f}")
    row("etcd, three members: CPU / memory", f"{steady.etcd_cpu:.2f} cores / {steady.etcd_rss_mb:.0f} MB")
    row(
        f"leader of a region of {given.gateways // given.regions}: CPU",
        f"{steady.region_cpu * 100:.1f} % of a core",
    )
    row("leader of the fleet, beside that: CPU", f"{steady.fleet_cpu * 100:.1f} % of a core")
    row("all gateways: CPU / memory", f"{steady.clients_cpu:.2f} cores / {steady.clients_rss_mb:.0f} MB")
    for what, versions in (("", False), (" while all announce that", True)):
        took_s = [s for version, s in figures.reached_s.items() if answered(version) is versions]
        row(f"a configuration reaches all{what}: p50 / max", f"{percentile(took_s, 50):.2f} / {max(took_s):.2f} s")
    row("configurations that gateways have missed", f"{expected - seen.configs} of {expected}")
    row("gateways whose target or view is not the store's, at the end", seen.behind)
    row("leases lost / listings anew / watches resumed", f"{seen.losses} / {seen.relists} / {seen.resumes}")
    note("The time to reach all is this machine's, which is all gateways at once.")


async def measure(given: argparse.Namespace) -> Figures:
    with etcd() as cluster:
        coordination = cluster.config(
            timeout_s=given.timeout, lease_ttl_s=given.lease_ttl, announce_every_s=given.announce_every
        )
        swarm = Swarm(coordination, given.regions, given.per_connection, given.change_every)
        store, keys = EtcdStore(coordination), Keys(coordination.prefix)
        await _configure(store, keys, 1)
        shares = [[*range(given.gateways)[first :: given.processes]] for first in range(given.processes)]
        with children(run_leaders, [(swarm, [0])]) as first:
            await _each(first, "leading")
            with children(run_leaders, [(swarm, [*range(1, given.regions)])]) as others:
                await _each(others, "leading")
                begun_s = time.monotonic()
                with children(run_swarm, [(swarm, share) for share in shares]) as gateways:
                    await _each(gateways, "registered")
                    registered_s = time.monotonic() - begun_s
                    await asyncio.sleep(SETTLE_S)
                    steady = await _steady(cluster, given, first, others, gateways)
                    versions = range(2, given.configs + 2)
                    reached = {one: await _reached(store, keys, one, given.pause, gateways) for one in versions}
                    seen = await _settled(gateways)
                    await store.close()
                    return Figures(registered_s, steady, reached, seen)


async def _steady(
    cluster: EtcdCluster, given: argparse.Namespace, first: Children, others: Children, gateways: Children
) -> Steady:
    def look() -> list[float]:
        cpu = [family.cpu_s() for family in (first, others, gateways)]
        return [time.monotonic(), *etcd_counts(cluster, *COUNTED), etcd_cpu_s(), *cpu]

    before = look()
    await asyncio.sleep(given.seconds)
    after = look()
    elapsed_s, *differences = (now - then for now, then in zip(after, before, strict=True))
    puts, events, renewals, reads, _, etcd_cpu, fleet_cpu, regions_cpu, clients_cpu = (
        difference / elapsed_s for difference in differences
    )
    each = regions_cpu / max(given.regions - 1, 1)
    return Steady(
        writes=puts / len(cluster.nodes),
        events=events,
        renewals=renewals,
        reads=reads,
        watches=after[1 + COUNTED.index("etcd_debugging_mvcc_watch_stream_total")],
        etcd_cpu=etcd_cpu,
        etcd_rss_mb=sum(rss_mb(process.pid) for process in etcd_processes()),
        region_cpu=each,
        fleet_cpu=max(fleet_cpu - each, 0.0),
        clients_cpu=clients_cpu,
        clients_rss_mb=sum(map(rss_mb, gateways.pids)),
    )


async def _reached(store: EtcdStore, keys: Keys, version: int, pause_s: float, gateways: Children) -> float:
    begun_ns = time.monotonic_ns()
    revision = await _configure(store, keys, version)
    gateways.tell("reached", revision)
    last_ns: int = max(at_ns for (at_ns,) in await _each(gateways, "reached", SEEN_S))
    await asyncio.sleep(pause_s)
    return (last_ns - begun_ns) / 1e9


async def _configure(store: EtcdStore, keys: Keys, version: int) -> int:
    body = (
        "global:\n  sampling_strategies: [{type: adaptive, min_rate: 0.001, max_rate: 1.0, "
        f"target_qps: {100_000 + version}}}]\n"
    )
    blob = Blob(version=version, sha256=hashlib.sha256(body.encode()).hexdigest(), body=body)
    return await store.put(keys.global_config, msgspec.json.encode(blob))


async def _settled(gateways: Children) -> Seen:
    """What they have seen, once nobody is behind; as it is after a while."""
    seen = Seen()
    for _ in range(LOOKS):
        gateways.tell("seen")
        seen = Seen.total(seen for (seen,) in await _each(gateways, "seen", SEEN_S))
        if not seen.behind:
            break
        await asyncio.sleep(1.0)
    return seen


async def _each(family: Children, kind: str, within_s: float = READY_S) -> list[tuple[Any, ...]]:
    return await asyncio.to_thread(family.each, kind, within_s)
