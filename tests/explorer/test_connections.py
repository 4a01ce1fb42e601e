"""Connections that keep the server waiting end, and however many there are the page works."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from server import running, small_data, small_network

import convprop as cp
from convprop.explorer import connection
from convprop.explorer.serving import Serving, bound
from convprop.explorer.session import Session

# They wait for other programs not to come.
pytestmark = pytest.mark.slow

HALF = {
    "nothing": "",
    "half a head": "GET / HTTP/1.1\r\nHost: 127",
    "half a body": "POST /open HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n{{",
    "half a body of one that may ask": (
        "POST /open HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: 9\r\n\r\n{{"
    ),
    "a request and half of the next": (
        "GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\nGET / HTTP/1.1\r\nHo"
    ),
}


@pytest.fixture
def client(monkeypatch):
    """A client of a server that does not wait long."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(connection, "TRANSFER_SECONDS", 0.5)
    with running() as client:
        yield client.enter()


def begin(client, what):
    """Send the beginning of something."""
    begun = socket.create_connection(("127.0.0.1", client.port), timeout=10)
    begun.sendall(HALF[what].format(host=client.host, cookie=client.cookie).encode())
    return begun


def seconds_to_end(begun, drip=b""):
    """Return how long the server leaves it open, though a byte comes now and then."""
    started = time.monotonic()
    begun.settimeout(0.1)
    while time.monotonic() - started < 8:
        try:
            if drip:
                begun.sendall(drip)
            if not begun.recv(1 << 20):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    begun.close()
    return time.monotonic() - started


@pytest.mark.parametrize("drip", [b"", b"x"])
@pytest.mark.parametrize("what", HALF)
def test_what_is_not_sent_to_its_end_is_not_waited_for(client, what, drip):
    assert seconds_to_end(begin(client, what), drip) < 5
    assert client.ask("GET", "/").status == 200


def test_an_answer_that_is_not_taken_is_not_waited_for(client):
    begun = socket.socket()
    begun.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    begun.connect(("127.0.0.1", client.port))
    head = f"GET /page/main.js HTTP/1.1\r\nHost: {client.host}\r\nCookie: {client.cookie}\r\n\r\n"
    begun.sendall(head.encode() * 400)
    connections = client.serving._server.server_state.connections
    end = time.monotonic() + 8
    while connections and time.monotonic() < end:
        time.sleep(0.05)
    assert not connections
    begun.close()


def test_who_thinks_for_long_is_waited_for(client, monkeypatch):
    """The time is the client's: an answer may take the server as long as it likes."""
    session = client.open()
    monkeypatch.setattr(
        "convprop.explorer.server.QUESTIONS",
        {"slow": lambda session, body: time.sleep(1.5) or {"slept": True}},
    )
    assert client.post(f"{session}/slow", {}).json() == {"slept": True}


@pytest.mark.parametrize("what", HALF)
def test_many_connections_of_one_program_leave_the_page_its_own(what):
    with running() as client, contextlib.ExitStack() as stack:
        client.enter()
        session = client.open()
        for _ in range(560):
            with contextlib.suppress(OSError):  # It has given way before all was sent.
                stack.enter_context(begin(client, what))
        for _ in range(5):
            assert client.ask("GET", "/").status == 200
            assert client.post(f"{session}/maps", {}).status == 200
        assert len(client.serving._server.server_state.connections) < connection.MOST_NEW + 10


def test_many_pages_get_their_whole_answers():
    """Those who have their answer give way, but not before they have taken it."""
    with running() as client:
        client.enter()
        path = f"{client.open()}/maps"
        expected = client.post(path, {}).body
        with ThreadPoolExecutor(3 * connection.MOST_ANSWERED) as pool:
            answers = pool.map(lambda _: client.post(path, {}).body, range(300))
            assert all(json.loads(answer) == json.loads(expected) for answer in answers)


def test_a_server_that_is_stopped_as_it_starts_ends_quietly():
    net, data = small_network(), small_data()
    for _ in range(5):
        serving = Serving(lambda: Session(net, data, cp.Adam()), bound("127.0.0.1", 0))
        thread = threading.Thread(target=serving.run)
        thread.start()
        serving.stop()
        thread.join(20)
        assert not thread.is_alive()
