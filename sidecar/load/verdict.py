"""What a look at a collector says, and how a check is kept to its time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from sidecar.errors import SpangateError
from sidecar.telemetry import log


class Verdict(NamedTuple):
    """What one look says."""

    ok: bool
    reason: str = ""
    """What is wrong, in a few words."""


GOOD = Verdict(True)


class Check(Protocol):
    """One thing about a collector that can be well or not."""

    @property
    def name(self) -> str:
        """What reasons call it."""

    @property
    def timeout_s(self) -> float:
        """The longest that a look may take."""

    async def look(self) -> Verdict:
        """Looks once. An OSError or SpangateError is as good as a bad verdict."""


async def judged(check: Check) -> Verdict:
    """One look, whose reason begins with the check's name. Whatever goes wrong with it is a bad verdict."""
    verdict = await _looked(check)
    return verdict if verdict.ok else Verdict(False, f"{check.name}: {verdict.reason}")


async def judged_all(checks: Iterable[Check]) -> Verdict:
    """One look at everything, at once: good when all is, else with all reasons."""
    verdicts = await asyncio.gather(*map(judged, checks))
    bad = [verdict.reason for verdict in verdicts if not verdict.ok]
    return Verdict(False, "; ".join(bad)) if bad else GOOD


async def _looked(check: Check) -> Verdict:
    limit = asyncio.timeout(check.timeout_s)
    try:
        async with limit:
            return await check.look()
    except (OSError, SpangateError) as error:  # a TimeoutError is an OSError, whoever's time it was
        return Verdict(False, f"no answer within {check.timeout_s:g} s" if limit.expired() else words(error))
    except Exception as error:  # noqa: BLE001  a check that was plugged in is not ours: it must not end the watch
        log.logger("load").error("a health check fails itself", check=check.name, exc_info=True)
        return Verdict(False, f"the check itself failed: {error!r}")


def words(error: OSError | SpangateError) -> str:
    """What an error says, without numbers and names of classes where it can be said without."""
    if isinstance(error, SpangateError):
        return error.message
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own text is about the call; resolvers count below 0
    return error.strerror or str(error) or type(error).__name__
