"""``convprop explore``: the address, who is answered, and the end."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from runs import run, start

import convprop as cp
from busy import slowed
from convprop.cli import app as cli
from convprop.cli.explore import Reading, chosen, least_sure
from convprop.cli.terminal import Terminal
from convprop.explorer.questions import QUESTIONS
from convprop.explorer.session import Session


@pytest.fixture
def explorer():
    """Start commands, and end what is left of them."""
    started = []

    def begin(*arguments, browser=False):
        pipe, silent = subprocess.PIPE, () if browser else ("--no-browser",)
        process = start("explore", *silent, *arguments, stdout=pipe, stderr=pipe)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def status(url, path=None, host=None):
    """Ask for a path, or for what the address says."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    headers = {} if host is None else {"Host": host}
    with contextlib.closing(connection):
        connection.request("GET", path or f"{parts.path}?{parts.query}", headers=headers)
        return connection.getresponse().status


def free_port():
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_address_is_all_that_is_printed(explorer, model, stripes_file):
    port = free_port()
    process, address = explorer(model, stripes_file, "--port", port)
    assert re.fullmatch(rf"http://127\.0\.0\.1:{port}/\?token=[\w-]{{32,}}", address)
    assert status(address) == 303
    assert status(address, "/") == 401
    assert status(address, "/?token=x") == 401
    assert status(address, host="evil.example") == 421
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "Ended.\n")
    with pytest.raises(ConnectionRefusedError):
        status(address)


@pytest.mark.slow
def test_the_page_is_there_within_five_seconds(explorer):
    def seconds():
        began = time.perf_counter()
        assert status(explorer()[1]) == 303
        return time.perf_counter() - began

    # Whatever else runs can only add to it.
    assert any(seconds() < 5 * slowed() for _ in range(3))


@pytest.mark.slow
def test_a_model_and_its_data(explorer, model, stripes_file):
    _, address = explorer(model, stripes_file)
    assert status(address) == 303


def test_a_model_of_another_shape_than_its_data(model, capsys):
    assert cli.run(["explore", str(model), "mnist-nowhere", "--no-browser"]) == 1
    assert "mnist-nowhere" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["lenet5", "mlp", "cifar-tutorial"])
def test_a_preset_alone_has_the_digits_in_its_size(explorer, preset):
    assert status(explorer(preset)[1]) == 303


@pytest.mark.slow
def test_sigterm_ends_it(explorer):
    process, _ = explorer()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143 or process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.slow
def test_other_signals_end_it_too(explorer, number):
    process, _ = explorer()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert "Traceback" not in err


@pytest.mark.slow
def test_the_browser_is_given_no_secret(explorer, tmp_path, monkeypatch):
    """What a program was started with can be read by every user of the machine."""
    browser, given = tmp_path / "browser", tmp_path / "given"
    browser.write_text(f'#!/bin/sh\necho "$@" > {given}.part\nmv {given}.part {given}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setenv("HOME", str(tmp_path))
    process, address = explorer(browser=True)
    end = time.monotonic() + 20
    while not given.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert given.exists()
    file = Path(given.read_text().strip().removeprefix("file://"))
    assert file.parent.parent == tmp_path
    once = re.search(r"url=(\S+)\"", file.read_text())[1]
    assert once.rpartition("=")[2] not in given.read_text() + address
    assert [status(once), status(once), status(address)] == [200, 401, 303]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert not file.exists()


def saved(path, outputs, channels, loss, names=None):
    """Save a network of 8x8 images, and return its file."""
    layers = [cp.Conv(2, 3), cp.ReLU(), cp.Flatten(), cp.Dense(outputs)]
    net = cp.Network(layers, (channels, 8, 8), loss=loss)
    net.class_names = names
    net.save(path)
    return str(path)


@pytest.mark.parametrize(
    ("outputs", "channels", "loss", "names"),
    [
        (2, 3, cp.SoftmaxCrossEntropy(), ("cat", "dog")),
        (2, 1, cp.SoftmaxCrossEntropy(), None),
        (1, 1, cp.BinaryCrossEntropy(), ("cat", "dog")),
        (1, 3, cp.BinaryCrossEntropy(), None),
        (1, 1, cp.SquaredError(), None),
        (3, 1, cp.SquaredError(), None),
        (10, 3, cp.SoftmaxCrossEntropy(), tuple("abcdefghij")),
    ],
)
def test_a_model_that_has_not_learned_the_digits_needs_data(
    tmp_path, capsys, outputs, channels, loss, names
):
    file = saved(tmp_path / "net", outputs, channels, loss, names)
    assert cli.run(["explore", file, "--no-browser"]) == 2
    rule = f"DATA must be given for {file}, whose outputs are not the ten digits"
    assert capsys.readouterr().err == f"error: {rule}, got none\n"


@pytest.mark.parametrize("names", [None, tuple("9876543210"), tuple("abc0123456789")])
def test_a_model_that_may_have_learned_the_digits_is_shown_them(tmp_path, names):
    outputs = len(names or range(12))
    file = saved(tmp_path / "net", outputs, 3, cp.SoftmaxCrossEntropy(), names)
    net, images, _ = chosen(file, None, 0, Terminal(stderr=True))
    assert images.images.shape[1:] == (3, 8, 8)
    digits = cp.data.load("digits").train
    if names is not None:
        told = [names[label] for label in images.labels]
        assert told == [digits.class_names[label] for label in digits.labels]
    session = Session(net, images, cp.Adam(), index=least_sure(net, images))
    assert len(QUESTIONS["maps"](session, {})) > 0


@pytest.mark.parametrize(
    ("outputs", "loss", "names"),
    [
        (1, cp.BinaryCrossEntropy(), ("lying", "standing")),
        (1, cp.BinaryCrossEntropy(), None),
        (2, cp.SoftmaxCrossEntropy(), None),
        (3, cp.SquaredError(), None),
    ],
)
def test_every_kind_of_model_is_shown_with_data(tmp_path, stripes_file, outputs, loss, names):
    file = saved(tmp_path / "net", outputs, 1, loss, names)
    reading = Reading(str(stripes_file), None, False)
    net, images, _ = chosen(file, reading, 0, Terminal(stderr=True))
    session = Session(net, images, cp.Adam(), index=least_sure(net, images))
    for question in ("maps", "invert"):
        assert len(QUESTIONS[question](session, {})) > 0
    settings = {"steps": 1, "optimizer": "adam", "learning_rate": 0.001}
    assert len(QUESTIONS["train"](session, settings)["losses"]) == 1


@pytest.fixture
def photographs(tmp_path):
    """A folder of pictures of many sizes, and one that is none."""
    for number in range(8):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30 + number, 20), (number, 0, 99)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return str(tmp_path / "photos")


def test_photographs_are_resized_for_a_preset_and_for_a_model(tmp_path, photographs, capsys):
    terminal = Terminal(stderr=True)
    reading = Reading(photographs, (28, 30), True)
    net, images, _ = chosen("lenet5", reading, 0, terminal)
    assert (net.input_shape, images.image_shape) == ((3, 28, 30), (3, 28, 30))
    file = saved(tmp_path / "net", 2, 3, cp.SoftmaxCrossEntropy(), ("cat", "dog"))
    _, images, _ = chosen(file, Reading(photographs, None, True), 0, terminal)
    assert images.image_shape == (3, 8, 8)
    assert capsys.readouterr().err.count("broken.png") == 2


@pytest.mark.slow
def test_photographs_are_explored(explorer, photographs):
    options = ("--size", "28", "--skip-unreadable")
    assert status(explorer("lenet5", photographs, *options)[1]) == 303


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "9"], "--size must come with a preset and DATA"),
        (["lenet5", "--size", "9"], "--size must come with a preset and DATA"),
        (["net", "digits", "--size", "9"], "--size must come with a preset and DATA"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1 must come with --allow-remote (see --help)"),
        (["--host", "0.0.0.0", "--allow-remote"],
         "--host must be the address that browsers will use, not every address"),
        (["--port", "65536"], "--port must be a whole number from 0 to 65535, got 65536"),
        (["--port", "http"], "--port must be a whole number from 0 to 65535, got http"),
        (["lenet6"], "MODEL must be a file or one of"),
    ],
)  # fmt: skip
def test_what_it_refuses(arguments, message, capsys):
    assert cli.run(["explore", "--no-browser", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = run("explore", "--no-browser", "--port", port)
    assert found.returncode == 1
    reason = f"host and port must be free, got 127.0.0.1:{port}: Address already in use"
    assert reason in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_another_address_says_what_it_means(explorer):
    process, address = explorer("--host", "127.0.0.2", "--allow-remote")
    assert address.startswith("http://127.0.0.2:")
    assert status(address) == 303
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "without encryption" in err


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.02, 0.1])
def test_a_ctrl_c_that_is_leaned_on_counts_once(explorer, pause):
    process, _ = explorer()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    out, err = process.communicate(timeout=20)
    # One that comes when all has been said finds Python about to end.
    assert process.returncode in (0, -signal.SIGINT)
    assert (out, err.splitlines()) == ("", ["training  digits for 12 epochs", "Ended."])


@pytest.mark.slow
def test_ctrl_c_ends_a_training_and_a_request_that_is_not_finished(explorer):
    process, address = explorer("vgg-small")
    parts = urlsplit(address)
    with contextlib.ExitStack() as stack:

        def connect():
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
            return stack.enter_context(contextlib.closing(connection))

        def post(path, body):
            connection = connect()
            connection.request("POST", path, json.dumps(body), {"Cookie": cookie})
            return connection

        entrance = connect()
        entrance.request("GET", f"{parts.path}?{parts.query}")
        cookie = entrance.getresponse().getheader("set-cookie").split(";")[0]
        session = json.loads(post("/open", {}).getresponse().read())["session"]
        settings = {"steps": 20, "optimizer": "sgd", "learning_rate": 1e-6}
        for _ in range(8):
            post(f"/sessions/{session}/train", settings)
        half = connect()
        half.putrequest("POST", f"/sessions/{session}/draw")
        half.putheader("Cookie", cookie)
        half.putheader("Content-Length", "1000")
        half.endheaders(b"{")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 8 * slowed()
    assert (process.returncode, out, err.splitlines()) == (0, "", ["Ended."])


@pytest.mark.parametrize("host", ["0", "0.0", "::", "::0"])
def test_every_address_is_refused_however_it_is_written(host, capsys):
    assert cli.run(["explore", "--no-browser", "--host", host, "--allow-remote"]) == 2
    assert "not every address" in " ".join(capsys.readouterr().err.split())
