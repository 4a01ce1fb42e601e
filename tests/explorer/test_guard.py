"""Who may come in: nobody without the token, from another page or by another name."""

import http.client
import re
import stat
from pathlib import Path

import pytest
from server import running

from convprop.explorer import server as served
from convprop.explorer.entrance import entrance_file


def test_the_token_is_exchanged_for_a_cookie(stranger):
    answer = stranger.ask("GET", stranger.entrance)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    token = stranger.entrance.partition("=")[2]
    assert token not in answer.headers["set-cookie"]
    assert len(token) >= 32


def test_a_ticket_leads_in_once_from_wherever_a_browser_is_led():
    with running() as client:
        ticket = client.serving.once.removeprefix(f"http://{client.host}")
        led = {"Sec-Fetch-Site": "cross-site"}
        for method, path in (
            ("HEAD", ticket),
            ("POST", ticket),
            ("GET", "/once"),
            ("GET", "/once?ticket="),
        ):
            assert client.ask(method, path, headers=led).status in (401, 403)
        assert client.ask("GET", ticket, headers=led | {"Origin": "null"}).status == 403
        assert client.ask("GET", ticket, host="evil.example").status == 421
        answer = client.ask("GET", ticket, headers=led)
        assert (answer.status, b'content="0; url=/"' in answer.body) == (200, True)
        cookie = answer.headers["set-cookie"].split(";")[0]
        for path in (ticket, "/once?ticket=", "/once", "/once?ticket=None"):
            assert client.ask("GET", path, headers=led).status == 401
        assert client.ask("GET", "/", headers={"Cookie": cookie}).status == 200
        # The printed address still does, as often as one likes.
        assert [client.ask("GET", client.entrance).status for _ in range(2)] == [303, 303]


def test_the_file_that_leads_in_is_its_owners_alone():
    with entrance_file("http://127.0.0.1:1/once?ticket=a&b") as file:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert "url=http://127.0.0.1:1/once?ticket=a&amp;b" in file.read_text()
    assert not file.parent.exists()


def test_without_a_home_the_file_lies_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    with entrance_file("http://127.0.0.1:1/") as file:
        assert file.exists()


@pytest.mark.parametrize(
    "path",
    ["/", "/page/main.js", "/open", "/sessions/x/maps", "/?token=", "/?token=wrong", "/?x=1"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_the_token_nothing_is_answered(stranger, method, path):
    assert stranger.ask(method, path, b"{}" if method == "POST" else None).status == 401


@pytest.mark.parametrize(
    "cookie", ["convprop-{port}=wrong", "other=1", "=;;=", "a" * 5000, "convprop-{port}="]
)
def test_a_wrong_cookie_is_no_cookie(stranger, cookie):
    headers = {"Cookie": cookie.format(port=stranger.port)}
    assert stranger.ask("GET", "/", headers=headers).status == 401


@pytest.mark.parametrize(
    "others",
    ['prefs={"theme":"dark"}', "s[id]=3", "flag", "a=b c", "name=Jörg", "path=/x", "=", ";"],
)
def test_cookies_of_other_programs_do_not_matter(client, others):
    for cookie in (f"{others}; {client.cookie}", f"{client.cookie}; {others}"):
        headers = {"Cookie": cookie.encode("utf-8").decode("latin-1")}
        assert client.ask("GET", "/page/main.js", headers=headers).status == 200
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
    connection.putrequest("GET", "/", skip_host=True)
    for name, value in (("Host", client.host), ("Cookie", "x=1"), ("Cookie", client.cookie)):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil",
     "[::1]:{port}", "", "127.0.0.1:{port} ", "LOCALHOST:{port}"],
)  # fmt: skip
def test_another_host_is_refused_even_with_the_cookie(client, host):
    if host.endswith(" "):
        host = host.strip() + "\t."
    assert 400 <= client.ask("GET", "/", host=host.format(port=client.port)).status < 500


def test_localhost_is_this_host(client):
    assert client.ask("GET", "/", host=f"localhost:{client.port}").status == 200


def test_two_hosts_are_refused(client):
    answer = client.ask("GET", "/", headers={"host": "evil.example"})
    assert answer.status in (400, 421)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_of_other_pages_are_refused(client, headers):
    sent = {name: value.format(port=client.port) for name, value in headers.items()}
    for method, path in (("POST", "/open"), ("GET", "/"), ("GET", client.entrance)):
        assert client.ask(method, path, headers=sent).status == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_other_methods_are_refused(client, method):
    assert client.ask(method, "/").status == 405


def test_every_answer_has_the_headers_that_keep_it_here(client, stranger):
    answers = [client.ask("GET", "/"), stranger.ask("GET", "/"), client.ask("GET", "/nothing")]
    answers += [client.ask("POST", "/open"), client.ask("GET", "/", host="evil.example")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/page/../server.py", "/page/..%2fserver.py", "/page/%2e%2e/server.py", "/page//etc/passwd",
     "/page/", "/etc/passwd", "/page/main.js/", "/page/main.js%00.css", "/page/\\..\\server.py",
     "/sessions/../../x/maps", "//etc/passwd", "/page/index.html/../../guard.py"],
)  # fmt: skip
def test_no_path_reaches_a_file(client, path):
    answer = client.ask("GET", path)
    assert answer.status in (404, 405)
    assert b"import" not in answer.body
    assert b"root:" not in answer.body


def test_the_page_asks_for_nothing_from_elsewhere():
    folder = Path(served.__file__).parent / "page"
    for file in folder.iterdir():
        words = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|@import", words), file.name
