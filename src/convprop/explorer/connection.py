"""Connections that end where their client keeps the server waiting.

uvicorn waits for ever for the rest of a request, and counts those that wait among the connections
of which there may be only so many: any program of the machine could keep the page from working.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""For the head of a request, from the connection, or the last answer, on."""
TRANSFER_SECONDS = 60.0
"""For a request's body to arrive, and for an answer to be taken: a photograph on a slow line."""
BACKLOG = 64
"""Connections that are taken up together. A page's first request is read before twice as many of
other programs have come, and so before it would have to give way to them."""
MOST_NEW, MOST_ANSWERED, MOST_BODIES = 192, 32, 32
"""Connections that have sent no request yet; that have had an answer; of which a body is still to
come. Of more the one that has waited longest gives way."""


def connection_class() -> type[H11Protocol]:
    """Return the class of one server's connections."""
    # In the order in which they began to wait.
    new: dict[Connection, None] = {}
    answered: dict[Connection, None] = {}
    bodies: dict[Connection, None] = {}

    class Connection(H11Protocol):
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait_in(new, MOST_NEW, HEAD_SECONDS)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            self._look_at(before)

        def on_response_complete(self) -> None:
            before = self.cycle
            super().on_response_complete()
            if self.cycle is before:
                taken = self.transport.get_write_buffer_size() == 0
                self._wait_in(answered, MOST_ANSWERED, HEAD_SECONDS if taken else TRANSFER_SECONDS)
            else:  # The next request had come already.
                self._look_at(before)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._end_after(TRANSFER_SECONDS)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.cycle is not None and not self.cycle.response_complete:
                self._end_after(None)

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait_no_more()
            super().connection_lost(exc)

        def _look_at(self, before: object) -> None:
            """See whether a request has begun, and whether it is whole: then it is our turn."""
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                return
            if not cycle.more_body:
                self._wait_no_more()
            elif cycle is not before:
                self._wait_in(bodies, MOST_BODIES, TRANSFER_SECONDS)

        def _wait_in(self, queue: dict[Connection, None], most: int, seconds: float) -> None:
            self._wait_no_more()
            self._end_after(seconds)
            queue[self] = None
            if len(queue) > most:
                longest = next(iter(queue))
                del queue[longest]
                # What it has not taken yet of its answer it has still its time for.
                longest.transport.close()

        def _wait_no_more(self) -> None:
            self._end_after(None)
            for queue in (new, answered, bodies):
                queue.pop(self, None)

        def _end_after(self, seconds: float | None) -> None:
            if self.timer is not None:
                self.timer.cancel()
            abort = self.transport.abort
            self.timer = None if seconds is None else self.loop.call_later(seconds, abort)

    return Connection
