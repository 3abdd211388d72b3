"""The supervisor: control plane, admin and the workers' keeper. `run` is the whole life of a gateway."""

from __future__ import annotations

import uvloop

from sidecar.config.load import Sources
from sidecar.config.schema import GatewayConfig
from sidecar.supervisor.limits import ensure_descriptors
from sidecar.supervisor.supervisor import Supervisor


def run(config: GatewayConfig, sources: Sources) -> int:
    """Runs the gateway until SIGTERM or Ctrl-C has drained it; the exit code.

    Raises PortTaken, TooFewDescriptors, NoBackend before anything is served.
    """
    ensure_descriptors(config)

    async def live() -> int:
        return await Supervisor(config, sources).run()

    return uvloop.run(live())
