"""What every request passes before anything else: host, origin, token, size.

The explorer listens where other programs of the machine, and through a browser any web page, could
reach it. A page elsewhere cannot: its requests carry its own Origin; a name of its own that it has
pointed at this address (DNS rebinding) is another Host; and it does not know the token.
"""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 8 << 20
"""Of a request's body: a photograph."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'; frame-ancestors "
)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ALONE = {"Content-Security-Policy": CONTENT_SECURITY_POLICY + "'none'", "X-Frame-Options": "DENY"}
FRAMED = {"Content-Security-Policy": CONTENT_SECURITY_POLICY + "http: https: vscode-webview:"}

ONWARDS = '<!doctype html><meta http-equiv="refresh" content="0; url=/"><title>convprop</title>'

METHODS = ("GET", "HEAD", "POST")


class Guard:
    """An ASGI application around another one, which sees only requests that may come through.

    Parameters
    ----------
    app : ASGIApp
    hosts : tuple of str
        The Host headers that are answered: "127.0.0.1:8000".
    framed : bool
        A frame of a notebook's page may not have cookies: then the token is the beginning of
        every path.

    Attributes
    ----------
    entrance : str
        The path that opens the page. ``/?token=...`` sets a cookie and leads to ``/``.
    once : str
        Another one, that does so once, and from wherever a browser is led there.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], *, framed: bool = False) -> None:
        self._app = app
        self._framed = framed
        self._hosts = hosts
        self._origins = tuple(f"http://{host}" for host in hosts)
        self._token = secrets.token_urlsafe(24)
        self.entrance = f"/{self._token}/" if framed else f"/?token={self._token}"
        self._ticket: str | None = secrets.token_urlsafe(24)
        self.once = f"/once?ticket={self._ticket}"
        self._headers = HEADERS | (FRAMED if framed else ALONE)
        # Ports of one host share their cookies, so the name tells this server's.
        self._cookie = f"convprop-{hosts[0].rpartition(':')[2]}"
        self._secret = secrets.token_urlsafe(24)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # No WebSockets; the server's own start and end are announced as "lifespan".
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        send = self._with_headers(send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if self._framed:
            scope = {**scope, "path": scope["path"].removeprefix(f"/{self._token}")}
        messages = await _body(receive) if scope["method"] == "POST" else []
        if messages is None:
            await _refused(413, f"at most {MOST_BYTES >> 20} MiB")(scope, receive, send)
            return
        await self._app(scope, _again(messages, receive), send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        # Compared as they are: a Host in capitals, or twice, is no browser's.
        if [value for name, value in headers.items() if name == "host"] not in (
            [host] for host in self._hosts
        ):
            return _refused(421, "not this server's name")
        if headers.get("origin", self._origins[0]) not in self._origins:
            return _refused(403, "requests of other pages are not answered")
        if (scope["method"], scope["path"]) == ("GET", "/once") and not self._framed:
            return self._enter_once(scope)
        # A frame's own page is asked for by the page around it; the token then says that it may.
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not self._framed:
            return _refused(403, "requests of other pages are not answered")
        if scope["method"] not in METHODS:
            return _refused(405, "GET, HEAD or POST")
        if self._framed:
            known = _equal(scope["path"].lstrip("/").partition("/")[0], self._token)
        elif scope["method"] == "GET" and scope["path"] == "/" and scope["query_string"]:
            return self._exchange(scope)
        else:
            known = self._knows(headers)
        if not known:
            return _refused(401, "open the address that convprop explore has printed")
        if int(_digits(headers.get("content-length", "0"))) > MOST_BYTES:
            return _refused(413, f"at most {MOST_BYTES >> 20} MiB")
        return None

    def _exchange(self, scope: Scope) -> Response:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        if len(given) != 1 or not _equal(given[0], self._token):
            return _refused(401, "open the address that convprop explore has printed")
        return self._with_cookie(RedirectResponse("/", 303))

    def _enter_once(self, scope: Scope) -> Response:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("ticket", [""])
        if self._ticket is None or len(given) != 1 or not _equal(given[0], self._ticket):
            return _refused(401, "open the address that convprop explore has printed")
        self._ticket = None
        # By a redirect the cookie, which is for requests of this page alone, would not go along.
        return self._with_cookie(HTMLResponse(ONWARDS))

    def _with_cookie(self, response: Response) -> Response:
        response.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict")
        return response

    def _knows(self, headers: Headers) -> bool:
        # By hand: other programs of this machine set cookies too, and of any form.
        given = ";".join(headers.getlist("cookie")).split(";")
        return any(_equal(pair.strip(), f"{self._cookie}={self._secret}") for pair in given)

    def _with_headers(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        return sent


def _equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())


def _digits(text: str) -> str:
    return text if text.isascii() and text.isdecimal() and len(text) < 16 else str(MOST_BYTES + 1)


def _refused(status: int, reason: str) -> Response:
    return PlainTextResponse(f"{status}: {reason}\n", status)


async def _body(receive: Receive) -> list[Message] | None:
    """Return the messages of a request's body; None once they are too many bytes."""
    messages: list[Message] = []
    received = 0
    while True:
        message = await receive()
        received += len(message.get("body", b""))
        if received > MOST_BYTES:
            return None
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body"):
            return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Return what gives these messages, and then what is still to come."""

    async def next_message() -> Message:
        return messages.pop(0) if messages else await receive()

    return next_message
