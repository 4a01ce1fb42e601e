"""The server of the page: its files, and answers to its questions."""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, TypeVar

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from convprop.errors import DataError, InvalidInput, TooFewThreads, TrainingDiverged
from convprop.explorer import answers
from convprop.explorer.questions import QUESTIONS, Question, uploaded
from convprop.explorer.session import Session
from convprop.machine.threads import starting_threads

Result = TypeVar("Result")

MOST_SESSIONS = 64
"""Pages at a time; the one that has been silent longest gives way."""
MOST_LEFT = 4
"""Sessions that are kept although their page has gone: it may be on its way back."""
SILENCE = 150.0
"""Seconds without a sign of life after which a page has gone; browsers let a hidden page speak
once a minute. (A connection that stays open would tell at once, but browsers have only six.)"""

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


class Held:
    """A session, the lock that lets one request at a time have it, and when its page last spoke."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.lock = threading.Lock()
        self.heard = time.monotonic()

    @property
    def looked_at(self) -> bool:
        """Whether its page is still there."""
        return time.monotonic() - self.heard < SILENCE


@dataclass
class Explorer:
    """The application.

    Attributes
    ----------
    make : callable
        Gives a page its session.
    ends : bool
        Whether the server is about to end: no question is answered any more.
    """

    make: Callable[[], Session]
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
                Route("/sessions/{session:str}/alive", self.alive, methods=["POST"]),
                Route("/sessions/{session:str}/bye", self.bye, methods=["POST"]),
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
        # The browser asks for the icon again whenever the address changes.
        icon = {"Cache-Control": "max-age=3600"} if found[1] == CONTENT_TYPES["svg"] else None
        return Response(found[0], media_type=found[1], headers=icon)

    async def open(self, request: Request) -> Response:
        """Make a session, or take up the one that a page had before its reload; describe it."""
        body = await _object(request)
        if isinstance(body, Response):
            return body
        name, held = await self._left(body.get("session"))
        if held is None:
            made = await _in_thread(self.make)
            if isinstance(made, Response):
                return made
            name, held = secrets.token_urlsafe(12), Held(made)
            self._keep(name, held)
        return JSONResponse({"session": name} | answers.network(held.session))

    async def _left(self, name: object) -> tuple[str, Held | None]:
        """Return a session that no page looks at any more; now one does."""
        for _ in range(10):
            with self._lock:
                held = self._held.get(name) if isinstance(name, str) else None
                if held is None:
                    break
                if not held.looked_at:
                    held.heard = time.monotonic()
                    self._held.move_to_end(str(name))
                    return str(name), held
            # The end of the page before the reload may come to be known after its beginning.
            await anyio.sleep(0.05)
        return "", None

    def _keep(self, name: str, held: Held) -> None:
        """Add a session, and let go of those that have been left, or silent, longest."""
        with self._lock:
            left = [one for one, other in self._held.items() if not other.looked_at]
            for one in left[: max(len(left) - MOST_LEFT, 0)]:
                del self._held[one]
            while len(self._held) >= MOST_SESSIONS:
                self._held.popitem(last=False)
            self._held[name] = held

    def looked_at(self) -> bool:
        """Whether any page is there."""
        with self._lock:
            return any(held.looked_at for held in self._held.values())

    async def alive(self, request: Request) -> Response:
        """Hear that a page is there."""
        return _gone() if self._find(request) is None else Response(status_code=204)

    async def bye(self, request: Request) -> Response:
        """Hear that a page goes, at least for now."""
        held = self._find(request)
        if held is not None:
            held.heard = -math.inf
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """Take the bytes of a picture as the image."""
        held = self._find(request)
        if held is None:
            return _gone()
        try:
            body = await request.body()
        except ClientDisconnect:
            return _error(400, "the request ended early")
        return await _in_thread(self._answer, held, uploaded, {"bytes": body})

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
        return await _in_thread(self._answer, held, question, body)

    def _find(self, request: Request) -> Held | None:
        name = request.path_params["session"]
        with self._lock:
            held = self._held.get(name)
            if held is not None:
                held.heard = time.monotonic()
                self._held.move_to_end(name)
            return held

    def _answer(self, held: Held, question: Question, body: dict[str, Any]) -> Response:
        with held.lock:
            if self.ends:
                return _error(503, "the explorer ends")
            try:
                return JSONResponse(question(held.session, body))
            except (InvalidInput, DataError) as error:
                return _error(400, str(error))
            except TrainingDiverged as error:
                return _error(409, str(error))


async def _in_thread(function: Callable[..., Result], *arguments: Any) -> Result | Response:
    """Return what a function does in a thread; what the machine lacks for it is said."""
    try:
        with starting_threads():
            return await run_in_threadpool(function, *arguments)
    except TooFewThreads as error:
        return _error(503, str(error))
    except MemoryError as error:
        return _error(503, f"not enough memory: {error}".removesuffix(": "))


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
