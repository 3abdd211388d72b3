"""The service `spangate.v1.Fleet`: each call is one of the desk's, in the words of the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from sidecar.admin.failure import problem_out
from sidecar.admin.v1 import admin_pb2 as pb
from sidecar.control.census import Followers, RegionMembers
from sidecar.control.desk import Applied, Desk, InForce
from sidecar.control.guidance import GLOBAL, scope_of
from sidecar.control.records import Blob, CollectorRecord, ServiceInfo
from sidecar.control.refusal import NotThere
from sidecar.control.regions import named
from sidecar.errors import QuestionInvalid
from sidecar.model import Endpoint, Health
from sidecar.snapshot import Load

SERVICE = pb.DESCRIPTOR.services_by_name["Fleet"]


class FleetService:
    """Answers with messages; what goes wrong is a SpangateError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def methods(self) -> dict[str, Callable[..., Any]]:
        """By name in the protocol."""
        return {
            "GetConfig": self.get_config,
            "ValidateConfig": self.validate_config,
            "ApplyConfig": self.apply_config,
            "DiffConfig": self.diff_config,
            "ListConfigHistory": self.list_config_history,
            "RollbackConfig": self.rollback_config,
            "WatchConfig": self.watch_config,
            "WatchFollowers": self.watch_followers,
            "CreateRegion": self.create_region,
            "ListRegions": self.list_regions,
            "DeleteRegion": self.delete_region,
            "RegisterCollector": self.register_collector,
            "DeregisterCollector": self.deregister_collector,
        }

    async def get_config(self, request: pb.GetConfigRequest) -> pb.Config:
        scope = _scope(request.region)
        if request.version:
            return _config(request.region, await self._desk.version(scope, request.version))
        held = await self._desk.get(scope)
        if held is None:
            raise NotThere(f"{scope} has no configuration", "`spangate config apply FILE` gives it one")
        return _config(request.region, held)

    async def validate_config(self, request: pb.ValidateConfigRequest) -> pb.ValidateConfigResponse:
        checked = await self._desk.validate(_scope(request.region), request.body, request.source)
        return pb.ValidateConfigResponse(
            problems=map(problem_out, checked.problems), warnings=map(problem_out, checked.warnings)
        )

    async def apply_config(self, request: pb.ApplyConfigRequest) -> pb.ApplyConfigResponse:
        applied = await self._desk.apply(
            _scope(request.region),
            request.body,
            author=request.author,
            comment=request.comment,
            expected_version=request.expected_version if request.HasField("expected_version") else None,
            source=request.source,
        )
        return _applied(applied)

    async def rollback_config(self, request: pb.RollbackConfigRequest) -> pb.ApplyConfigResponse:
        applied = await self._desk.rollback(
            _scope(request.region),
            request.version,
            author=request.author,
            comment=request.comment,
            expected_version=request.expected_version if request.HasField("expected_version") else None,
        )
        return _applied(applied)

    async def diff_config(self, request: pb.DiffConfigRequest) -> pb.DiffConfigResponse:
        return pb.DiffConfigResponse(
            diff=await self._desk.diff(_scope(request.region), request.body, request.source or "new")
        )

    async def list_config_history(self, request: pb.ListConfigHistoryRequest) -> pb.ListConfigHistoryResponse:
        blobs = await self._desk.history(_scope(request.region))
        return pb.ListConfigHistoryResponse(versions=[_headline(request.region, blob) for blob in blobs])

    async def watch_config(self, request: pb.WatchConfigRequest) -> AsyncIterator[pb.Config]:
        async with aclosing(self._desk.watch(_scope(request.region))) as found:
            async for held in found:
                yield _config(request.region, held)

    async def watch_followers(self, request: pb.WatchFollowersRequest) -> AsyncIterator[pb.Followers]:
        scope = _scope(request.region)
        async with aclosing(self._desk.followers(scope, request.version, request.timeout_s)) as looks:
            async for followers in looks:
                yield _followers(followers)

    async def create_region(self, request: pb.CreateRegionRequest) -> pb.CreateRegionResponse:
        await self._desk.regions.create(request.region, author=request.author)
        return pb.CreateRegionResponse()

    async def list_regions(self, _request: pb.ListRegionsRequest) -> pb.ListRegionsResponse:
        return pb.ListRegionsResponse(regions=map(_region, await self._desk.regions.list()))

    async def delete_region(self, request: pb.DeleteRegionRequest) -> pb.DeleteRegionResponse:
        await self._desk.regions.delete(request.region, force=request.force)
        return pb.DeleteRegionResponse()

    async def register_collector(self, request: pb.RegisterCollectorRequest) -> pb.RegisterCollectorResponse:
        record = _collector(request.collector)
        registration = await self._desk.regions.register(record, request.ttl_s, request.lease_id)
        return pb.RegisterCollectorResponse(
            lease_id=registration.lease.id, good_for_s=registration.good_for_s, anew=registration.anew
        )

    async def deregister_collector(self, request: pb.DeregisterCollectorRequest) -> pb.DeregisterCollectorResponse:
        await self._desk.regions.deregister(request.region, request.id, request.lease_id)
        return pb.DeregisterCollectorResponse()


def _scope(region: str) -> str:
    return scope_of(named(region)) if region else GLOBAL


def _config(region: str, held: InForce) -> pb.Config:
    config = _headline(region, held.blob)
    config.body, config.revision = held.blob.body, held.revision
    return config


def _headline(region: str, blob: Blob) -> pb.Config:
    return pb.Config(
        region=region,
        version=blob.version,
        sha256=blob.sha256,
        author=blob.author,
        comment=blob.comment,
        applied_unix_s=blob.applied_unix_s,
    )


def _applied(applied: Applied) -> pb.ApplyConfigResponse:
    return pb.ApplyConfigResponse(
        version=applied.version,
        revision=applied.revision,
        changed=applied.changed,
        warnings=map(problem_out, applied.warnings),
    )


def _followers(followers: Followers) -> pb.Followers:
    refusals = [pb.Refusal(gateway=one.gateway, region=one.region, reasons=one.reasons) for one in followers.refusals]
    return pb.Followers(applied=followers.applied, total=followers.total, refusals=refusals, waiting=followers.waiting)


def _region(region: RegionMembers) -> pb.Region:
    return pb.Region(
        name=region.name,
        created=region.created,
        gateways=map(_member, region.gateways),
        collectors=map(_member, region.collectors),
        config_version=region.config_version,
    )


def _member(service: ServiceInfo) -> pb.Member:
    return pb.Member(id=service.id, address=str(service.address), health=str(service.health), reason=service.reason)


def _collector(given: pb.Collector) -> CollectorRecord:
    try:
        endpoint, health = Endpoint.parse(given.endpoint), Health(given.health or Health.UNKNOWN)
    except ValueError as error:
        raise QuestionInvalid(f"no collector: {given.endpoint!r} {error}") from None
    load = given.load
    return CollectorRecord(
        service=ServiceInfo(
            id=given.id or given.endpoint,
            name=given.id or given.endpoint,
            address=endpoint,
            region=given.region,
            metadata=dict(given.metadata),
            health=health,
            reason=given.reason,
        ),
        load=Load(
            cpu=load.cpu,
            memory=load.memory,
            queue=load.queue,
            qps=load.qps,
            bytes_per_s=load.bytes_per_s,
            latency_ms=load.latency_ms,
            error_rate=load.error_rate,
            capacity_qps=load.capacity_qps,
        ),
        weight=given.weight if given.HasField("weight") else 1.0,
    )
