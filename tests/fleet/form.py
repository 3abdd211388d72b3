"""The two forms of a fault test: a second for ten minutes with hurried settings, and all of it as shipped."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sidecar.config import defaults as default
from tests.harness.gateway import Settings
from tests.harness.patience import LIMIT_S


class Form(NamedTuple):
    """How long a fault lasts, what meets it, and how long the fleet may take afterwards."""

    factor: float
    """What a fault's duration is multiplied by."""
    limit_s: float
    """The longest that anything is waited for."""
    settings: Settings
    """Over those that hurry."""


SHORT = Form(1 / 600, LIMIT_S, {})
LONG = Form(
    1,
    150,
    {
        "coordination.lease_ttl": f"{default.COORDINATION_LEASE_TTL_S:g}s",
        "coordination.announce_every": f"{default.COORDINATION_ANNOUNCE_EVERY_S:g}s",
        "coordination.timeout": f"{default.COORDINATION_TIMEOUT_S:g}s",
        "collector.check_every": f"{default.COLLECTOR_CHECK_EVERY_S:g}s",
        "collector.rise": default.COLLECTOR_RISE,
        "collector.fall": default.COLLECTOR_FALL,
        "receiver.connection_max_age": "0s",  # the load that is put on them does not connect again
    },
)
FORMS = (
    pytest.param(SHORT, id="short"),
    pytest.param(LONG, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1500)]),
)
"""For a fixture or a test: `make test` runs the short one, `make soak` the long one."""
