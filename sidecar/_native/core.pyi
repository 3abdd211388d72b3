from collections.abc import Callable
from typing import final

from typing_extensions import Buffer

@final
class WorkerCore:
    # page: page_bytes() of memory that can be written; budget uint64[2]: used, permitted
    def __init__(self, page: Buffer, budget: Buffer) -> None: ...
    def configure(
        self,
        *,
        message_limit_bytes: int,
        batch_limit_bytes: int,
        batch_limit_items: int,
        max_wait_s: float,
        margin_s: float,
        queue_age_s: float,
        soft_ratio: float,
        queued_ack: bool,
        may_duplicate: bool,
        batch_wait_s: float,
        pacing_s: float,
        max_streams: int,
        max_connections: int,
        max_age_s: float,
        max_age_grace_s: float,
        keepalive_s: float,
        keepalive_timeout_s: float,
        stall_s: float,
        retry_after_s: float,
        partial_limit_bytes: int = ...,
        items_limit: int = ...,
    ) -> None: ...
    # names from an id on
    def services(self, first: int = 0) -> list[str]: ...
    # met(first, names): at the end of every scan that has met services, which have the ids from `first` on
    def on_services(self, met: Callable[[int, list[str]], None] | None) -> None: ...
    # the kernels' clock, for tests
    def at(self, now_ns: int) -> None: ...
    def begin_streams_at(self, number: int) -> None: ...
    # buffers handed out, their bytes, spare bytes
    def memory(self) -> tuple[int, int, int]: ...
    def booked(self) -> int: ...
    def beat(self, generation: int) -> None: ...
