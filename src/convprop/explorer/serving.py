"""From a port to a running server, and to its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from convprop.errors import invalid
from convprop.explorer.guard import Guard
from convprop.explorer.server import Explorer
from convprop.explorer.session import Session

GRACE = 8.0
"""Seconds that the server waits for a page after the last one has gone: a reload takes one."""
MOST_CONNECTIONS = 512
QUEUE = 1024
"""Connections that the kernel keeps until they are taken up; one that it drops loses a second."""


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens at the address; port 0 is any free one.

    Raises
    ------
    InvalidInput
        The address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(found[0], socket.SOCK_STREAM)
    except OSError as error:
        raise invalid("host", "be an address of this machine", f"{host}: {error}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(found[4])
        listening.listen(QUEUE)
    except OSError as error:
        listening.close()
        reason = f"{host}:{port}: {error.strerror or error}"
        raise invalid("host and port", "be free", reason) from None
    return listening


def _server(config: Any) -> Any:
    """Return uvicorn's server, which ends by the first signal and leaves it to who has started it.

    uvicorn's own would raise the signal again inside the loop, and a second one would cut off what
    the first has begun.
    """
    import uvicorn

    class Server(uvicorn.Server):
        received: int | None = None

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.received = self.received or sig
            self.should_exit = True

    return Server(config)


class Serving:
    """A server for the sessions that ``make`` gives.

    Parameters
    ----------
    make : callable
        Gives each page its Session.
    listening : socket.socket
        From ``bound``.
    stays : bool
        Go on when the last page has gone.
    framed : bool
        For the frame of a notebook: the token is part of every address, and other pages may show
        this one. Without it the token is exchanged for a cookie, and no page may.

    Attributes
    ----------
    url : str
        What opens the page.
    once : str
        What opens it once; not in a frame.
    """

    def __init__(
        self,
        make: Callable[[], Session],
        listening: socket.socket,
        *,
        framed: bool = False,
        stays: bool = False,
    ) -> None:
        import uvicorn

        from convprop.explorer.connection import BACKLOG, connection_class

        self._socket = listening
        host: str = listening.getsockname()[0]
        name = f"[{host}]" if ":" in host else host
        self.port: int = listening.getsockname()[1]
        names = {name, "localhost"} if host == "127.0.0.1" else {name}
        # Browsers leave the port out where it is the usual one.
        names = {one if self.port == 80 else f"{one}:{self.port}" for one in names}
        self._explorer = Explorer(make)
        self._stays = stays
        guard = Guard(self._explorer.app(), tuple(sorted(names)), framed=framed)
        self.url = f"http://{name}:{self.port}{guard.entrance}"
        self.once = f"http://{name}:{self.port}{guard.once}"
        self._server = _server(
            uvicorn.Config(
                guard,
                http=connection_class(),
                ws="none",
                lifespan="off",
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
                limit_concurrency=MOST_CONNECTIONS,
                backlog=BACKLOG,
            )
        )

    def run(self, ready: Callable[[], Any] | None = None) -> bool:
        """Serve until the last page has gone, or until Ctrl-C or SIGTERM, which is raised again.

        Parameters
        ----------
        ready : callable, optional
            Called once requests are answered.

        Returns
        -------
        bool
            Whether it was the last page that ended it.
        """
        alone = asyncio.run(self._run(ready))
        if self._server.received is not None:
            signal.raise_signal(self._server.received)
        return alone

    async def _run(self, ready: Callable[[], Any] | None) -> bool:
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.01)
        with suppress(OSError):  # The server may have been ended already.
            # asyncio would have the kernel keep no more than are taken up together.
            self._socket.listen(QUEUE)
        alone = False
        if ready is not None and not serving.done():
            await asyncio.to_thread(ready)
        seen: float | None = None
        log = logging.getLogger("uvicorn.error")
        level = log.level
        while not serving.done():
            await asyncio.sleep(0.2)
            if self._explorer.looked_at():
                seen = time.monotonic()
            elif not self._stays and seen is not None and time.monotonic() - seen > GRACE:
                alone = self._server.should_exit = True
            if self._server.should_exit:
                self._explorer.ends = True
                # What is cut off from here on is meant to be.
                log.setLevel(logging.CRITICAL)
        await serving
        # By then the requests that were cut off have said so.
        await asyncio.sleep(0.05)
        log.setLevel(level)
        return alone

    def stop(self) -> None:
        """End the server from another thread."""
        self._explorer.ends = self._server.should_exit = True
