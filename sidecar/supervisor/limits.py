"""Limits of the operating system that must hold before anything is served."""

from __future__ import annotations

import resource

from sidecar.config.schema import GatewayConfig
from sidecar.errors import TooFewDescriptors

RESERVE = 64
"""Descriptors for listeners, pages, logs, epoll, the admin."""


def ensure_descriptors(config: GatewayConfig) -> None:
    """Raises the soft limit on open files as far as needed. TooFewDescriptors when the hard limit is below that."""
    needed = config.limits.connections // config.workers + 2 * len(config.backends) + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise TooFewDescriptors(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
