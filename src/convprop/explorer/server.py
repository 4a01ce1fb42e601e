"""The server of the page: its files, and answers to its questions."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from convprop.errors import DataError, InvalidInput, TrainingDiverged
from convprop.explorer import answers
from convprop.explorer.questions import QUESTIONS, Question, uploaded
from convprop.explorer.session import Session

MOST_SESSIONS = 64
"""Pages at a time; the one that has been silent longest gives way."""
MOST_LEFT = 4
"""Sessions that are kept although their page has gone: it may only have lost its connection."""
HEARTBEAT = 5.0
"""Seconds between two signs of life to a page."""

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


class Held:
    """A session, the lock that lets one request at a time have it, and who still looks at it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.lock = threading.Lock()
        self.pages = 0


@dataclass
class Explorer:
    """The application.

    Attributes
    ----------
    make : callable
        Gives a page its session.
    pages : int
        How many are open.
    last_seen : float or None
        When the last page was closed, by time.monotonic(); None while there is one, and before
        the first.
    """

    make: Callable[[], Session]
    pages: int = 0
    last_seen: float | None = None
    ends: bool = False
    _held: OrderedDict[str, Held] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # All files of the page, by name: no path of a request ever reaches the disk.
        folder = files("convprop.explorer") / "page"
        self._files = {
            entry.name: (entry.read_bytes(), CONTENT_TYPES[entry.name.rpartition(".")[2]])
            for entry in folder.iterdir()
            if entry.is_file()
        }

    def app(self) -> Starlette:
        """Return the ASGI application, to be put behind a Guard."""
        app = Starlette(
            routes=[
                Route("/", self.page, methods=["GET"]),
                Route("/page/{name:str}", self.page, methods=["GET"]),
                Route("/open", self.open, methods=["POST"]),
                Route("/sessions/{session:str}/alive", self.alive, methods=["GET"]),
                Route("/sessions/{session:str}/upload", self.upload, methods=["POST"]),
                Route("/sessions/{session:str}/{question:str}", self.ask, methods=["POST"]),
            ]
        )
        app.router.redirect_slashes = False
        return app

    async def page(self, request: Request) -> Response:
        """Give one of the page's files."""
        found = self._files.get(request.path_params.get("name", "index.html"))
        if found is None:
            return _error(404, "no such file")
        return Response(found[0], media_type=found[1])

    async def open(self, request: Request) -> Response:
        """Make a session, or take up the one that a page had before its reload; describe it."""
        body = await _object(request)
        if isinstance(body, Response):
            return body
        name, held = await self._left(body.get("session"))
        if held is None:
            name, held = secrets.token_urlsafe(12), Held(await run_in_threadpool(self.make))
        with self._lock:
            self._held[name] = held
            while len(self._held) > MOST_SESSIONS:
                left = (name for name, one in self._held.items() if not one.pages)
                self._held.pop(next(left, next(iter(self._held))))
        if not self.pages:
            # Until it tells that it is alive, for which it has some seconds.
            self.last_seen = time.monotonic()
        return JSONResponse({"session": name} | answers.network(held.session))

    async def _left(self, name: object) -> tuple[str, Held | None]:
        """Return a session that no page looks at any more."""
        for _ in range(10):
            with self._lock:
                held = self._held.get(name) if isinstance(name, str) else None
            if held is None or not held.pages:
                return str(name), held
            # The end of the page before the reload may come to be known after its beginning.
            await anyio.sleep(0.05)
        return "", None

    async def alive(self, request: Request) -> Response:
        """Send a sign of life now and then, for as long as the page is there."""
        held = self._find(request)
        if held is None:
            return _gone()
        return StreamingResponse(self._beats(held), media_type="text/event-stream")

    async def _beats(self, held: Held) -> AsyncIterator[bytes]:
        self.pages += 1
        held.pages += 1
        self.last_seen = None
        try:
            while not self.ends:
                yield b": alive\n\n"
                for _ in range(int(HEARTBEAT * 4)):
                    if not self.ends:
                        await anyio.sleep(0.25)
        finally:
            self.pages -= 1
            held.pages -= 1
            if not self.pages:
                self.last_seen = time.monotonic()
            with self._lock:
                left = [name for name, one in self._held.items() if not one.pages]
                for name in left[: max(len(left) - MOST_LEFT, 0)]:
                    del self._held[name]

    async def upload(self, request: Request) -> Response:
        """Take the bytes of a picture as the image."""
        held = self._find(request)
        if held is None:
            return _gone()
        try:
            body = await request.body()
        except ClientDisconnect:
            return _error(400, "the request ended early")
        return await run_in_threadpool(self._answer, held, uploaded, {"bytes": body})

    async def ask(self, request: Request) -> Response:
        """Answer a question about a session."""
        held = self._find(request)
        question = QUESTIONS.get(request.path_params["question"])
        if held is None:
            return _gone()
        if question is None:
            return _error(404, "no such question")
        body = await _object(request)
        if isinstance(body, Response):
            return body
        return await run_in_threadpool(self._answer, held, question, body)

    def _find(self, request: Request) -> Held | None:
        name = request.path_params["session"]
        with self._lock:
            held = self._held.get(name)
            if held is not None:
                self._held.move_to_end(name)
            return held

    @staticmethod
    def _answer(held: Held, question: Question, body: dict[str, Any]) -> Response:
        with held.lock:
            try:
                return JSONResponse(question(held.session, body))
            except (InvalidInput, DataError) as error:
                return _error(400, str(error))
            except TrainingDiverged as error:
                return _error(409, str(error))


async def _object(request: Request) -> dict[str, Any] | Response:
    """Return a request's JSON object, or what refuses anything else."""
    try:
        body = json.loads(await request.body() or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _error(400, "the request must be JSON")
    except ClientDisconnect:
        return _error(400, "the request ended early")
    return body if isinstance(body, dict) else _error(400, "the request must be a JSON object")


def _error(status: int, words: str) -> Response:
    return JSONResponse({"error": words}, status)


def _gone() -> Response:
    return _error(410, "this page's network is no longer kept; reload the page")


def _no_constant(name: str) -> float:
    raise ValueError(name)
