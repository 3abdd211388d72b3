# mypy: disable-error-code="type-arg"
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Failure(_message.Message):
    __slots__ = ("message", "hint", "exit_code", "problems")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    message: str
    hint: str
    exit_code: int
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, message: _Optional[str] = ..., hint: _Optional[str] = ..., exit_code: _Optional[int] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("path", "message", "hint", "line", "source")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    path: str
    message: str
    hint: str
    line: int
    source: str
    def __init__(self, path: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., line: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class Config(_message.Message):
    __slots__ = ("region", "version", "body", "sha256", "author", "comment", "applied_unix_s", "revision")
    REGION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    APPLIED_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    region: str
    version: int
    body: str
    sha256: str
    author: str
    comment: str
    applied_unix_s: float
    revision: int
    def __init__(self, region: _Optional[str] = ..., version: _Optional[int] = ..., body: _Optional[str] = ..., sha256: _Optional[str] = ..., author: _Optional[str] = ..., comment: _Optional[str] = ..., applied_unix_s: _Optional[float] = ..., revision: _Optional[int] = ...) -> None: ...

class GetConfigRequest(_message.Message):
    __slots__ = ("region", "version")
    REGION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    region: str
    version: int
    def __init__(self, region: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ValidateConfigRequest(_message.Message):
    __slots__ = ("region", "body", "source")
    REGION_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    region: str
    body: str
    source: str
    def __init__(self, region: _Optional[str] = ..., body: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class ValidateConfigResponse(_message.Message):
    __slots__ = ("problems", "warnings")
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    warnings: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class ApplyConfigRequest(_message.Message):
    __slots__ = ("region", "body", "source", "author", "comment", "expected_version")
    REGION_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    region: str
    body: str
    source: str
    author: str
    comment: str
    expected_version: int
    def __init__(self, region: _Optional[str] = ..., body: _Optional[str] = ..., source: _Optional[str] = ..., author: _Optional[str] = ..., comment: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class ApplyConfigResponse(_message.Message):
    __slots__ = ("version", "revision", "changed", "warnings")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    version: int
    revision: int
    changed: bool
    warnings: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, version: _Optional[int] = ..., revision: _Optional[int] = ..., changed: bool = ..., warnings: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class DiffConfigRequest(_message.Message):
    __slots__ = ("region", "body", "source")
    REGION_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    region: str
    body: str
    source: str
    def __init__(self, region: _Optional[str] = ..., body: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class DiffConfigResponse(_message.Message):
    __slots__ = ("diff",)
    DIFF_FIELD_NUMBER: _ClassVar[int]
    diff: str
    def __init__(self, diff: _Optional[str] = ...) -> None: ...

class ListConfigHistoryRequest(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: str
    def __init__(self, region: _Optional[str] = ...) -> None: ...

class ListConfigHistoryResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[Config]
    def __init__(self, versions: _Optional[_Iterable[_Union[Config, _Mapping]]] = ...) -> None: ...

class RollbackConfigRequest(_message.Message):
    __slots__ = ("region", "version", "author", "comment", "expected_version")
    REGION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    region: str
    version: int
    author: str
    comment: str
    expected_version: int
    def __init__(self, region: _Optional[str] = ..., version: _Optional[int] = ..., author: _Optional[str] = ..., comment: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class WatchConfigRequest(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: str
    def __init__(self, region: _Optional[str] = ...) -> None: ...

class WatchFollowersRequest(_message.Message):
    __slots__ = ("region", "version", "timeout_s")
    REGION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    region: str
    version: int
    timeout_s: float
    def __init__(self, region: _Optional[str] = ..., version: _Optional[int] = ..., timeout_s: _Optional[float] = ...) -> None: ...

class Followers(_message.Message):
    __slots__ = ("applied", "total", "refusals", "waiting")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    applied: int
    total: int
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    waiting: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, applied: _Optional[int] = ..., total: _Optional[int] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., waiting: _Optional[_Iterable[str]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("gateway", "region", "reasons")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    region: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, gateway: _Optional[str] = ..., region: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateRegionRequest(_message.Message):
    __slots__ = ("region", "author")
    REGION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    region: str
    author: str
    def __init__(self, region: _Optional[str] = ..., author: _Optional[str] = ...) -> None: ...

class CreateRegionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRegionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRegionsResponse(_message.Message):
    __slots__ = ("regions",)
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    def __init__(self, regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("name", "created", "gateways", "collectors", "config_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    COLLECTORS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    created: bool
    gateways: _containers.RepeatedCompositeFieldContainer[Member]
    collectors: _containers.RepeatedCompositeFieldContainer[Member]
    config_version: int
    def __init__(self, name: _Optional[str] = ..., created: bool = ..., gateways: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., collectors: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., config_version: _Optional[int] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("id", "address", "health", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    health: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., health: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DeleteRegionRequest(_message.Message):
    __slots__ = ("region", "force")
    REGION_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    region: str
    force: bool
    def __init__(self, region: _Optional[str] = ..., force: bool = ...) -> None: ...

class DeleteRegionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RegisterCollectorRequest(_message.Message):
    __slots__ = ("collector", "ttl_s", "lease_id")
    COLLECTOR_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    collector: Collector
    ttl_s: float
    lease_id: int
    def __init__(self, collector: _Optional[_Union[Collector, _Mapping]] = ..., ttl_s: _Optional[float] = ..., lease_id: _Optional[int] = ...) -> None: ...

class RegisterCollectorResponse(_message.Message):
    __slots__ = ("lease_id", "good_for_s", "anew")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    GOOD_FOR_S_FIELD_NUMBER: _ClassVar[int]
    ANEW_FIELD_NUMBER: _ClassVar[int]
    lease_id: int
    good_for_s: float
    anew: bool
    def __init__(self, lease_id: _Optional[int] = ..., good_for_s: _Optional[float] = ..., anew: bool = ...) -> None: ...

class DeregisterCollectorRequest(_message.Message):
    __slots__ = ("region", "id", "lease_id")
    REGION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    region: str
    id: str
    lease_id: int
    def __init__(self, region: _Optional[str] = ..., id: _Optional[str] = ..., lease_id: _Optional[int] = ...) -> None: ...

class DeregisterCollectorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Collector(_message.Message):
    __slots__ = ("id", "region", "endpoint", "weight", "health", "reason", "load", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    region: str
    endpoint: str
    weight: float
    health: str
    reason: str
    load: CollectorLoad
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., region: _Optional[str] = ..., endpoint: _Optional[str] = ..., weight: _Optional[float] = ..., health: _Optional[str] = ..., reason: _Optional[str] = ..., load: _Optional[_Union[CollectorLoad, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CollectorLoad(_message.Message):
    __slots__ = ("cpu", "memory", "queue", "qps", "bytes_per_s", "latency_ms", "error_rate", "capacity_qps")
    CPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    QPS_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_QPS_FIELD_NUMBER: _ClassVar[int]
    cpu: float
    memory: float
    queue: float
    qps: float
    bytes_per_s: float
    latency_ms: float
    error_rate: float
    capacity_qps: float
    def __init__(self, cpu: _Optional[float] = ..., memory: _Optional[float] = ..., queue: _Optional[float] = ..., qps: _Optional[float] = ..., bytes_per_s: _Optional[float] = ..., latency_ms: _Optional[float] = ..., error_rate: _Optional[float] = ..., capacity_qps: _Optional[float] = ...) -> None: ...
