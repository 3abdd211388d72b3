"""A TCP proxy in a thread that can stop to read and forward, cut its connections, or delay what it forwards."""

import asyncio
import threading
from collections.abc import Callable
from typing import Self

PIECE = 65536


class Proxy:
    """Listens on `port`, a free one, and connects on to `target` of 127.0.0.1."""

    def __init__(self, target: int, *, tap: bool = False) -> None:
        self.target = target
        self.port = 0
        self.delay_s = 0.0
        self.stall_after: int | None = None
        """Bytes from clients after which it stalls by itself."""
        self.upward = 0
        """Bytes forwarded from clients to the target."""
        self.accepted = 0
        self.tapped: list[bytearray] = []
        """With `tap`, all that clients sent, by connection; tap.py reads it."""
        self._tap = tap
        self._writers: set[asyncio.StreamWriter] = set()
        self._open: asyncio.Event
        self._ended: asyncio.Event
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stall(self) -> None:
        """From now on a black hole: connections are accepted, nothing is read from them and nothing comes."""
        self._act(self._open.clear)

    def resume(self) -> None:
        """What was held back goes on."""
        self._act(self._open.set)

    def cut(self) -> None:
        """Resets every connection; new ones are accepted."""
        self._act(self._reset)

    # ---- in the thread

    def _act(self, what: Callable[[], None]) -> None:
        async def act() -> None:
            what()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._open, self._ended = asyncio.Event(), asyncio.Event()
        self._open.set()
        tasks: set[asyncio.Task[None]] = set()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.accepted += 1
            task = self._loop.create_task(self._carry(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accepted, "127.0.0.1", 0, limit=PIECE)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        self._reset()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both = [writer]
        self._writers.add(writer)
        try:
            await self._open.wait()
            onward, outlet = await asyncio.open_connection("127.0.0.1", self.target, limit=PIECE)
            both.append(outlet)
            self._writers.add(outlet)
            tapped = bytearray()
            self.tapped.append(tapped)
            await asyncio.gather(self._pump(reader, outlet, tapped), self._pump(onward, writer))
        except OSError:
            pass
        finally:
            for end in both:
                end.transport.abort()
                self._writers.discard(end)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tap: bytearray | None = None
    ) -> None:
        while True:
            piece = await reader.read(PIECE)
            await self._open.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if not piece:
                writer.write_eof()
                return
            if tap is not None:
                self.upward += len(piece)
                if self.stall_after is not None and self.upward >= self.stall_after:
                    self._open.clear()
                if self._tap:
                    tap += piece
            writer.write(piece)
            await writer.drain()
