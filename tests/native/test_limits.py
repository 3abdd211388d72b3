"""Scenario: a plan with rates of services and limits, in a worker with sockets. Guarantees: the first span of a service
obeys, what is refused is told so with the time to wait, and each item is in the books once."""

from __future__ import annotations

import asyncio

import pytest

from sidecar._native.ledger import LedgerRow
from sidecar.errors import GrpcStatus
from sidecar.model import OnLimit
from sidecar.sampling.plan import Limit, SamplingPlan, ServiceRate
from sidecar.supervisor.tally import figures_of, ledger_of, observed_of
from tests.harness.otlp import spans
from tests.native.backend import Backend
from tests.native.node import Node, configured

NEVER = ServiceRate(0.0)


def of_traces(node: Node) -> dict[str, LedgerRow]:
    return {row.service: row for row in node.rows() if row.signal == 0}


async def test_the_first_span_of_a_service_obeys_a_pattern(backend: Backend) -> None:
    async with Node(configured([backend])) as node:
        await node.use(node.config, SamplingPlan(patterns=(("batch-*", NEVER),)))
        peer = await node.peer()
        for service in ("batch-1", "cart"):
            assert (await peer.export(spans(5, service=service)).done()).status is GrpcStatus.OK
        assert of_traces(node)["batch-1"].sampled_out == 5
        assert of_traces(node)["cart"].forwarded == 5


async def test_a_policy_decides_about_services_that_are_known(backend: Backend) -> None:
    async with Node(configured([backend])) as node:
        peer = await node.peer()
        await peer.export(spans(5, service="cart")).done()
        await node.use(node.config, SamplingPlan(services={"cart": NEVER}))
        await peer.export(spans(3, service="cart")).done()
        row = of_traces(node)["cart"]
        assert (row.forwarded, row.sampled_out, row.causes) == (5, 3, (3, 0, 0, 0))
        assert observed_of([node.page])["cart"].kept == 5


@pytest.mark.parametrize("limit", [Limit(per_s=20, burst=10), Limit(service_per_s=20, service_burst=10)])
async def test_a_request_over_the_limit_is_refused_with_the_time_to_wait(backend: Backend, limit: Limit) -> None:
    async with Node(configured([backend])) as node:
        limit = Limit(
            per_s=limit.per_s,
            burst=limit.burst,
            service_per_s=limit.service_per_s,
            service_burst=limit.service_burst,
            on_limit=OnLimit.REFUSE,
        )
        await node.use(node.config, SamplingPlan(limit=limit))
        peer = await node.peer()
        assert (await peer.export(spans(20, service="cart")).done()).status is GrpcStatus.OK
        refused = await peer.export(spans(7, service="cart")).done()
        assert refused.status is GrpcStatus.UNAVAILABLE
        assert "limit" in refused.words
        wait_s = refused.retry_after_s
        assert wait_s is not None
        assert 0 < wait_s <= 0.5, "a debt of 10 spans at most, at 20 a second"
        row = of_traces(node)["cart"]
        assert (row.received, row.forwarded, row.rejected, row.in_flight) == (27, 20, 7, 0)
        assert ledger_of([node.page]).difference == 0
        assert figures_of([node.page]).over_limit == 7
        await asyncio.sleep(wait_s)  # as a client does
        assert (await peer.export(spans(1, service="cart")).done()).status is GrpcStatus.OK


async def test_over_the_limit_fewer_are_kept_and_nobody_is_refused(backend: Backend) -> None:
    async with Node(configured([backend])) as node:
        await node.use(node.config, SamplingPlan(limit=Limit(per_s=50, burst=100)))
        peer = await node.peer()
        for _ in range(10):
            assert (await peer.export(spans(500, service="cart")).done()).status is GrpcStatus.OK
        row = of_traces(node)["cart"]
        assert row.received == 5000
        assert row.causes == (0, row.sampled_out, 0, 0)
        assert 0 < row.forwarded < 2500
