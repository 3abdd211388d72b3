"""What is not well with an etcd cluster, in lines for people."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aetcd import rpc

from sidecar.coord.etcd_cluster import Cluster, Metadata
from sidecar.coord.etcd_errors import Refusal, answer
from sidecar.coord.etcd_member import Member

_ALARM = re.compile(r"memberID:(\d+)\s+alarm:(\w+)")
_ADVICE = {
    "NOSPACE": "has no space: compact, defragment and disarm the alarm; until then it only reads",
    "CORRUPT": "has data that differs from the others': replace it",
}
_GOOD = (3, 5, 23)
"""Before: events lost at compaction, leases renewed that are revoked, data lost in crashes (etcd's CHANGELOG-3.5)."""


async def complaints(cluster: Cluster) -> list[str]:
    """One line for each member that does not answer as it should, is too old or not whole; one for each alarm."""
    members = cluster.members()
    answers = await asyncio.gather(*(_status(cluster, member) for member in members))
    lines = []
    names: dict[str, str] = {}
    alarms: dict[tuple[str, str], None] = {}
    for member, status in zip(members, answers, strict=True):
        if isinstance(status, Refusal):
            lines.append(f"{member}: {status.words or status.code.name}")
            continue
        names[str(status.header.member_id)] = str(member)
        if status.isLearner:
            lines.append(f"{member}: is a learner: it serves no reads and no writes")
        if not _is_good(status.version):
            lines.append(f"{member}: etcd {status.version} has known faults: use 3.5.23 or newer, or 3.6")
        for told in status.errors:
            alarms |= dict.fromkeys(_ALARM.findall(told))  # every member tells those of all
    lines += (
        f"{names.get(member, f'member {member}')}: {alarm}: {_ADVICE.get(alarm, 'see its log')}"
        for member, alarm in alarms
    )
    return lines


def _is_good(version: str) -> bool:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3]) >= _GOOD


async def _status(cluster: Cluster, member: Member) -> Any:
    """The member's answer, or the Refusal that came instead."""

    async def ask(member: Member, metadata: Metadata, within_s: float) -> Any:
        return await answer(member.maintenance.Status(rpc.StatusRequest(), timeout=within_s, metadata=metadata))

    try:
        return await cluster.at(member, ask)
    except Refusal as refusal:
        return refusal
