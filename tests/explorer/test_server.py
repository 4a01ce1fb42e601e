"""The explorer's server: what it answers, what it refuses, and that nothing brings it down."""

import base64
import contextlib
import gc
import io
import re
import socket
import struct
import subprocess
import sys
import time
import types
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import graphs
import numpy as np
import pytest
from PIL import Image
from server import Client, running, small_data, small_network

import convprop as cp
from convprop.explain import Explainer, projective_field, receptive_field
from convprop.explorer import guard, upload
from convprop.explorer import server as served
from convprop.explorer import session as explorer_session
from convprop.machine.native import engine


def array(packed):
    """Return an array that came as shape and bytes."""
    return np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"]).reshape(packed["shape"])


# ---- What is asked ----


def test_the_page_and_all_its_modules_are_there(client):
    page = client.ask("GET", "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    names = {"main.js", "style.css", "icon.svg"}
    assert names <= set(re.findall(r'"page/([\w.]+)"', page.body.decode()))
    seen = set()
    while names:
        name = names.pop()
        seen.add(name)
        answer = client.ask("GET", f"/page/{name}")
        assert answer.status == 200
        names |= set(re.findall(r'from "\./([\w.]+)"', answer.body.decode())) - seen
    assert len(seen) > 12


def test_no_line_of_the_page_is_wider_than_a_window():
    for file in (files("convprop.explorer") / "page").iterdir():
        lines = file.read_text("utf-8").splitlines()
        assert [f"{file.name}: {line}" for line in lines if len(line) > 100] == []


def test_a_layer_tells_its_window(client):
    layers = client.post("/open", {}).json()["layers"]
    nodes = small_network().graph.nodes
    assert [layer["window"] for layer in layers] == [
        node.window and {name: list(sides) for name, sides in asdict(node.window).items()}
        for node in nodes
    ]
    assert layers[0]["window"]["padding"] == [1, 1, 1, 1]
    assert layers[1]["window"] is None


def test_a_layer_tells_what_it_reads(client):
    layers = client.post("/open", {}).json()["layers"]
    assert [layer["reads"] for layer in layers] == [[value] for value in range(7)]


def test_maps_are_those_of_the_engine(client):
    session = client.open()
    answer = client.post(f"{session}/choose", {"index": 7}).json()
    data = small_data()
    done = Explainer(small_network(), data.images[7:8], data.labels[7:8]).done
    assert answer["label"] == data.labels[7]
    assert float(answer["loss"]) == done.loss
    assert np.array_equal(array(answer["pixels"]), data.images[7])
    assert np.array_equal(array(answer["outputs"][0]), done.layers[0].input[0])
    for place, layer in enumerate(done.layers, start=1):
        assert np.array_equal(array(answer["outputs"][place]), layer.output[0])
        assert np.array_equal(array(answer["deltas"][place]), layer.delta[0])
    assert answer["gradients"].keys() == {"conv1.weight", "conv2.weight"}
    for name, gradient in answer["gradients"].items():
        assert np.array_equal(array(gradient), done.gradients[name])


@pytest.mark.parametrize(
    ("question", "ask"),
    [
        (
            {"number": "output", "layer": "conv1", "at": [1, 2, 3]},
            lambda e: e.output("conv1", 1, 2, 3),
        ),
        (
            {"number": "weight_gradient", "layer": "conv2", "at": [3, 2, 1, 0]},
            lambda e: e.weight_gradient("conv2", 3, 2, 1, 0),
        ),
        (
            {"number": "bias_gradient", "layer": "conv2", "at": [3]},
            lambda e: e.bias_gradient("conv2", 3),
        ),
        (
            {"number": "delta", "layer": "conv2", "at": [2, 1, 3]},
            lambda e: e.delta("conv2", 2, 1, 3),
        ),
        (
            {"number": "delta", "layer": "max_pool1", "at": [2, 1, 3]},
            lambda e: e.delta("max_pool1", 2, 1, 3),
        ),
        ({"number": "loss"}, lambda e: e.loss()),
    ],
)
def test_explanations_hold_every_digit(client, question, ask):
    session = client.open()
    answer = client.post(f"{session}/explain", question).json()
    data = small_data()
    found = ask(Explainer(small_network(), data.images[:1], data.labels[:1]))
    assert np.float32(answer["value"]) == found.value
    assert answer["exact"]
    for name, cells in answer["columns"].items():
        kind = found.terms.dtype[name].type
        assert [kind(cell) for cell in cells] == list(found.terms[name])
    assert all(line.startswith("<math") for line in answer["equation"])
    assert "style=" not in "".join(answer["equation"])


def test_training_lowers_the_loss_and_the_way_back_restores_every_bit(client):
    session = client.open()
    settings = {"steps": 20, "optimizer": "adam", "learning_rate": 0.01}
    first = client.post(f"{session}/maps", {}).json()
    losses = []
    for _ in range(4):
        answer = client.post(f"{session}/train", settings).json()
        losses += answer["losses"]
    assert answer["step"] == 80
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    forty = client.post(f"{session}/back", {"step": 40}).json()
    assert forty["step"] == 40
    again = client.post(f"{session}/train", settings).json()
    assert again["losses"] == losses[40:60]
    start = client.post(f"{session}/back", {"step": 0}).json()
    for name in ("outputs", "deltas", "parameters", "gradients", "loss"):
        assert start[name] == first[name]


def test_a_training_ends_its_answer_when_its_time_is_up(client, monkeypatch):
    monkeypatch.setattr(explorer_session, "MOST_SECONDS", 0.0)
    session = client.open()
    settings = {"steps": 20, "optimizer": "adam", "learning_rate": 0.01}
    answer = client.post(f"{session}/train", settings).json()
    assert answer["step"] == len(answer["losses"]) == 1


def test_a_page_that_reloads_has_its_session_again(client):
    name = client.open().removeprefix("/sessions/")
    client.post(f"/sessions/{name}/train", {"steps": 3, "optimizer": "sgd", "learning_rate": 0.1})
    client.ask("POST", f"/sessions/{name}/bye", b"")
    again = client.post("/open", {"session": name}).json()
    assert again["session"] == name
    assert client.post(f"/sessions/{name}/maps", {}).json()["step"] == 3
    # One that somebody looks at stays theirs; one that is not known is new.
    assert client.post("/open", {"session": name}).json()["session"] != name
    for unknown in ("nothing", 3, None, ["a"]):
        assert len(client.post("/open", {"session": unknown}).json()["session"]) == len(name)
    assert client.ask("POST", "/open", b"[1]").status == 400


def test_a_delta_is_of_the_value_of_a_join_that_is_asked_for():
    net = cp.Network(graphs.residual(), (1, 8, 8), seed=3)
    with running(net, stays=True) as client:
        client.enter()
        session = client.open()
        data = small_data()
        asked = Explainer(net, data.images[:1], data.labels[:1])
        question = {"number": "delta", "layer": "sum", "at": [1, 2, 3]}
        for of, name in ((0, "second"), (1, "relu1"), ("relu1", "relu1")):
            answer = client.post(f"{session}/explain", question | {"of": of}).json()
            found = asked.delta("sum", 1, 2, 3, of=name)
            assert answer["name"] == found.name.replace(", image 0", "")
            assert f" of {name}, through sum" in answer["name"]
            assert np.float32(answer["value"]) == found.value
        for wrong in (2, "stem", [0], None):
            answer = client.post(f"{session}/explain", question | {"of": wrong})
            assert answer.status == 400
            rule = f"of (second, relu1) must be an integer in 0 .. 1, got {wrong!r}"
            assert answer.json()["error"] == rule


def test_slopes_that_are_learned_and_shares_of_channels_are_explained():
    layers = [cp.Conv(3, 3), cp.GELU(), cp.PReLU(by_channel=True), cp.Softmax(), cp.Dense(10)]
    with running(cp.Network(layers, (1, 8, 8))) as client:
        client.enter()
        layers = client.post("/open", {}).json()["layers"]
        assert [one["kind"] for one in layers] == [
            "conv",
            "activation",
            "prelu",
            "softmax",
            "dense",
        ]
        path = client.open()
        for layer, number, at in (
            ("gelu1", "output", [1, 2, 3]),
            ("gelu1", "delta", [1, 2, 3]),
            ("prelu1", "slope_gradient", [2]),
            ("prelu1", "delta", [2, 0, 5]),
            ("softmax1", "output", [0, 1, 1]),
            ("softmax1", "delta", [0, 1, 1]),
        ):
            body = {"layer": layer, "number": number, "at": at}
            assert client.post(f"{path}/explain", body).json()["exact"]


def test_fields_are_those_of_explain(client):
    session, net = client.open(), small_network()
    regions = client.post(f"{session}/fields", {"map": 3, "pixel": [1, 2]}).json()
    regions = [(region["rows"], region["columns"]) for region in regions["regions"]]
    assert len(regions) == 1 + len(net.layers)
    for place, name in enumerate(("input", "conv1", "relu1", "max_pool1")):
        region = receptive_field(net, "max_pool1", 1, 2, of=name)
        assert regions[place] == (region.rows.tolist(), region.columns.tolist())
    region = projective_field(net, "max_pool1", 1, 2, on="conv2")
    assert regions[4] == (region.rows.tolist(), region.columns.tolist())
    pixel = client.post(f"{session}/fields", {"map": 0, "pixel": [7, 0]}).json()
    assert pixel["regions"][0] == {"rows": [7], "columns": [0]}


def test_the_gallery_shows_the_data(client):
    session, data = client.open(), small_data()
    page = client.post(f"{session}/gallery", {"first": 0, "label": None}).json()
    assert page["count"] == 200
    assert page["rows"] == list(range(40))
    assert page["labels"] == data.labels[:40].tolist()
    assert np.array_equal(array(page["images"]), data.images[:40])
    fives = np.flatnonzero(data.labels == 5)
    page = client.post(f"{session}/gallery", {"first": 3, "label": 5}).json()
    assert page["rows"] == fives[3:].tolist()


def test_an_image_comes_with_the_target_that_is_asked_for(client):
    session, data = client.open(), small_data()
    own = client.post(f"{session}/choose", {"index": 4}).json()
    assert (own["index"], own["label"], own["relabelled"]) == (4, data.labels[4], False)
    other = client.post(f"{session}/choose", {"index": 4, "label": 9}).json()
    assert (other["index"], other["label"], other["relabelled"]) == (4, 9, True)


def test_sessions_do_not_see_one_another(client):
    one, other = client.open(), client.open()
    before = client.post(f"{other}/maps", {}).json()
    client.post(f"{one}/train", {"steps": 5, "optimizer": "sgd", "learning_rate": 0.1})
    assert client.post(f"{other}/maps", {}).json() == before


def test_a_drawn_digit_is_the_image(client):
    session = client.open()
    pixels = np.zeros((28, 28))
    pixels[4:24, 12:16] = 1
    answer = client.post(f"{session}/draw", {"pixels": pixels.tolist()}).json()
    image = array(answer["pixels"])
    assert image.shape == (1, 8, 8)
    # A stroke of 4 pixels of 28 is little more than one of 8, here half in each of two.
    assert image.max() == 9
    assert image[0, :, 0].max() == 0


def test_an_uploaded_picture_is_the_image(client):
    session = client.open()
    file = io.BytesIO()
    Image.fromarray(np.full((300, 200, 3), 255, np.uint8)).save(file, "JPEG")
    answer = client.ask("POST", f"{session}/upload", file.getvalue()).json()
    assert (array(answer["pixels"]) == 16).all()


def test_one_picture_is_decoded_at_a_time(client, monkeypatch):
    at_once, most = [], []

    def slowly(data, channels, size):
        at_once.append(data)
        most.append(len(at_once))
        time.sleep(0.02)
        at_once.pop()
        return np.zeros((channels, *size), np.float32)

    monkeypatch.setattr(upload, "_decoded", slowly)
    sessions = [client.open() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda s: client.ask("POST", f"{s}/upload", b"x"), sessions))
    assert [answer.status for answer in answers] == [200] * 12
    assert most == [1] * 12


def test_routing_is_that_of_the_operations(client):
    session = client.open()
    answer = client.post(f"{session}/routing", {"layer": "max_pool1", "channel": 1}).json()
    o, delta = array(answer["input"])[np.newaxis], array(answer["delta"])[np.newaxis]
    assert answer["kind"] == "max"
    for kind in engine.poolings:
        x, _ = cp.ops.pool.forward(o, kind, 2)
        assert np.array_equal(array(answer["kinds"][kind]["output"]), x[0])
        routed = cp.ops.pool.input_delta(delta, o, kind, 2)
        assert np.array_equal(array(answer["kinds"][kind]["delta"]), routed[0])


def test_routing_counts_padding_as_the_pool_does():
    pool = cp.AveragePool(3, 2, padding=1, count_padding=False)
    net = cp.Network([cp.Conv(2, 3, padding=1), pool, cp.Dense(10)], (1, 8, 8), seed=1)
    with running(net) as client:
        session = client.enter().open()
        found = client.post(f"{session}/routing", {"layer": "average_pool1", "channel": 1}).json()
        data = small_data()
        done = Explainer(net, data.images[:1], data.labels[:1]).done
        average = found["kinds"]["average"]
        assert np.array_equal(array(average["output"])[0], done.layers[1].output[0, 1])
        assert np.array_equal(array(average["delta"])[0], done.layers[0].delta[0, 1])


def test_a_loss_that_is_no_number_is_shown_as_it_is():
    net = cp.Network([cp.Flatten(), cp.Dense(10)], (1, 8, 8), loss=cp.SquaredError())
    net.parameters["dense1.weight"][...] = 1e30
    with running(net) as client:
        session = client.enter().open()
        answer = client.post(f"{session}/maps", {})
        assert answer.status == 200
        assert answer.json()["loss"] == "inf"
        assert answer.json()["moments"] == [[0, "inf"]]
        assert client.post(f"{session}/explain", {"number": "loss"}).status == 200


@pytest.mark.parametrize("transposed", [False, True])
def test_arithmetic_is_worked_out(client, transposed):
    session = client.open()
    asked = {"input": 6, "kernel": 3, "stride": 2, "padding": 1, "dilation": 1}
    answer = client.post(f"{session}/arithmetic", asked | {"transposed": transposed}).json()
    assert answer["size"] == array(answer["output"]).shape[1] == (11 if transposed else 3)
    o, w = array(answer["input"])[np.newaxis], array(answer["kernel"])[np.newaxis]
    if not transposed:
        out = cp.ops.conv.forward(o, w, None, stride=2, padding=1)
        assert np.array_equal(out[0], array(answer["output"]))
    assert "<mfrac>" in answer["equation"] or transposed


def test_the_equations_of_the_article_are_all_there(client):
    answer = client.post(f"{client.open()}/equations", {}).json()
    assert {str(number) for number in range(1, 23)} <= set(answer)


# ---- What goes wrong ----


@pytest.mark.parametrize(
    ("question", "body", "message"),
    [
        ("choose", {"index": 200}, "index must be an integer in 0 .. 199, got 200"),
        ("choose", {"index": "0"}, "index must be an integer in 0 .. 199, got '0'"),
        ("choose", {}, "index must be an integer in 0 .. 199, got None"),
        ("label", {"label": 10}, "label must be an integer in 0 .. 9, got 10"),
        (
            "train",
            {"steps": 21, "optimizer": "sgd", "learning_rate": 1},
            "steps must be an integer in 1 .. 20, got 21",
        ),
        (
            "train",
            {"steps": 1, "optimizer": "lbfgs", "learning_rate": 1},
            "optimizer must be one of sgd, adam, adamw, rmsprop, adadelta, lars, lamb, got 'lbfgs'",
        ),
        (
            "train",
            {"steps": 1, "optimizer": "sgd", "learning_rate": "fast"},
            "learning_rate must be a number, got 'fast'",
        ),
        (
            "train",
            {"steps": 1, "optimizer": "sgd", "learning_rate": -1},
            "learning_rate must be a positive number, got -1",
        ),
        ("back", {"step": -1}, "step must be an integer of at least 0, got -1"),
        (
            "explain",
            {"number": "input"},
            "number must be one of output, weight_gradient, "
            "bias_gradient, slope_gradient, delta, loss, got 'input'",
        ),
        (
            "explain",
            {"number": "output", "layer": "conv9", "at": [0]},
            "layer must be one of "
            "conv1, relu1, max_pool1, conv2, tanh1, flatten1, dense1, got 'conv9'",
        ),
        (
            "explain",
            {"number": "output", "layer": "conv1", "at": [0, 9, 0]},
            "i must be an integer in 0 .. 7, got 9",
        ),
        (
            "explain",
            {"number": "output", "layer": "conv1", "at": {"k": 1}},
            "at must be a list of 1 to 3 indices, got {'k': 1}",
        ),
        (
            "explain",
            {"number": "output", "layer": "conv1", "at": [0, 0, 0, 0]},
            "at must be a list of 1 to 3 indices, got [0, 0, 0, 0]",
        ),
        (
            "explain",
            {"number": []},
            "number must be one of output, weight_gradient, bias_gradient, slope_gradient, delta, "
            "loss, got []",
        ),
        (
            "train",
            {"steps": 1, "optimizer": "sgd", "learning_rate": 10**400},
            "learning_rate must be a positive number, got"
            f" 1{'0' * 59}... (321 more characters) ...{'0' * 20}",
        ),
        (
            "draw",
            {"pixels": [[10**400]]},
            "pixels must be rows of at most 128 x 128 numbers of 0 ... 1, got others",
        ),
        (
            "draw",
            {"pixels": [[1, 2], [3]]},
            "pixels must be rows of at most 128 x 128 numbers of 0 ... 1, got others",
        ),
        (
            "draw",
            {"pixels": "x"},
            "pixels must be rows of at most 128 x 128 numbers of 0 ... 1, got others",
        ),
        (
            "routing",
            {"layer": "conv1", "channel": 0},
            "layer must be one of max_pool1, got 'conv1'",
        ),
        (
            "routing",
            {"layer": ["max_pool1"], "channel": 0},
            "layer must be one of max_pool1, got ['max_pool1']",
        ),
        ("fields", {"map": 8, "pixel": [0, 0]}, "map must be an integer in 0 .. 7, got 8"),
        (
            "fields",
            {"map": 1, "pixel": [0]},
            "pixel must be a list of a row and a column, or empty, got [0]",
        ),
        ("fields", {"map": 1, "pixel": [0, 8]}, "j must be an integer in 0 .. 7, got 8"),
        ("gallery", {"first": -1}, "first must be an integer in 0 .. 199, got -1"),
        ("gallery", {"first": 0, "label": 10}, "label must be an integer in 0 .. 9, got 10"),
        (
            "choose",
            {"index": 0, "label": "x"},
            "label must be an integer in 0 .. 9, got 'x'",
        ),
        ("arithmetic", {"input": 17}, "input must be an integer in 1 .. 16, got 17"),
        (
            "arithmetic",
            {"input": 2, "kernel": 5, "stride": 1, "padding": 0, "dilation": 1},
            "window must fit into its padded input of 2x2, got 5x5",
        ),
    ],
)
def test_a_wrong_question_gets_one_clear_error(client, question, body, message):
    answer = client.post(f"{client.open()}/{question}", body)
    assert (answer.status, answer.json()["error"]) == (400, message)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b"{", b"\xff\xfe", b"[" * 100000, b'{"steps": NaN}', b'{"a": ' * 5000],
)
def test_garbage_is_refused(client, body):
    answer = client.ask("POST", f"{client.open()}/train", body)
    assert answer.status == 400
    assert "error" in answer.json()


def test_an_unknown_question_and_an_unknown_session(client):
    assert client.post(f"{client.open()}/delete", {}).status == 404
    assert client.post("/sessions/x/maps", {}).status == 410


def test_a_training_that_diverges_says_so_and_goes_on(client):
    session = client.open()
    wild = {"steps": 20, "optimizer": "sgd", "learning_rate": 1e38}
    answer = client.post(f"{session}/train", wild)
    assert answer.status == 409
    assert answer.json()["error"].startswith("the loss is no number any more at step ")
    # As it was before, and ready for more.
    tame = {"steps": 1, "optimizer": "sgd", "learning_rate": 0.01}
    again = client.post(f"{session}/train", tame).json()
    other = client.post(f"{client.open()}/train", tame).json()
    assert (again["step"], again["losses"]) == (1, other["losses"])


def large_png(side):
    """A PNG of side x side grey pixels in a few thousand bytes."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG", compress_level=9)
    return file.getvalue()


def claiming(width, height):
    """A small PNG whose header says that it is of other sides."""
    png = large_png(8)
    head = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]


@pytest.mark.parametrize("sides", [(1, 24_000_000), (24_000_000, 1), (16_385, 2), (2, 16_385)])
def test_pictures_with_too_long_a_side_are_refused(client, sides):
    answer = client.ask("POST", f"{client.open()}/upload", claiming(*sides))
    rule = "the picture must have sides of at most 16384 pixels"
    assert (answer.status, answer.json()["error"]) == (400, f"{rule}, got {sides[0]} x {sides[1]}")


@pytest.mark.parametrize("sides", [(1, 16_384), (16_384, 1)])
def test_the_longest_picture_is_taken(client, sides):
    file = io.BytesIO()
    Image.new("L", sides, 255).save(file, "PNG")
    answer = client.ask("POST", f"{client.open()}/upload", file.getvalue())
    assert (array(answer.json()["pixels"]) == 16).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [("bomb", "at most 24000000 pixels"), ("text", "PNG, JPEG, WebP or BMP"),
     ("gif", "PNG, JPEG, WebP or BMP"), ("cut", "must be readable"), ("empty", "PNG, JPEG")],
)  # fmt: skip
def test_pictures_that_are_none_are_refused(client, name, words):
    gif = io.BytesIO()
    Image.new("L", (8, 8)).save(gif, "GIF")
    bodies = {"text": b"hello", "gif": gif.getvalue(), "cut": large_png(900)[:300], "empty": b""}
    body = claiming(20000, 20000) if name == "bomb" else bodies[name]
    assert len(body) < guard.MOST_BYTES
    started = time.perf_counter()
    answer = client.ask("POST", f"{client.open()}/upload", body)
    assert answer.status == 400
    assert words in answer.json()["error"]
    assert time.perf_counter() - started < 5


def test_a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(client):
    path = f"{client.open()}/upload"
    said = client.ask("POST", path, headers={"Content-Length": str(guard.MOST_BYTES + 1)})
    assert said.status == 413
    for length in ("-1", "1e3", "9" * 40):
        assert client.ask("POST", path, headers={"Content-Length": length}).status in (400, 413)
    # In pieces whose sum nobody has said before.
    with socket.create_connection(("127.0.0.1", client.port)) as raw:
        raw.sendall(
            f"POST {path} HTTP/1.1\r\nHost: {client.host}\r\nCookie: {client.cookie}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        try:
            for _ in range(12):
                raw.sendall(piece)
        except OSError:
            pass  # It has hung up, which is an answer too.
        raw.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(100).startswith(b"HTTP/1.1 413")
    assert client.ask("GET", "/").status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET " + b"/" * 90000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /open HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(client, raw):
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        answer = b""
        # The server may have hung up before all of it has been sent.
        with contextlib.suppress(OSError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(200)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert client.ask("GET", "/").status == 200


def test_fifty_pages_at_once_all_get_their_answers(client):
    settings = {"steps": 2, "optimizer": "adam", "learning_rate": 0.01}

    def page(_):
        session = client.open()
        statuses = [client.post(f"{session}/train", settings).status]
        statuses.append(client.post(f"{session}/maps", {}).status)
        question = {"number": "delta", "layer": "conv2", "at": [0, 1, 1]}
        statuses.append(client.post(f"{session}/explain", question).status)
        statuses.append(client.ask("GET", "/page/main.js").status)
        return statuses, client.post(f"{session}/train", settings).json()["losses"]

    with ThreadPoolExecutor(50) as threads:
        found = list(threads.map(page, range(50)))
    assert [statuses for statuses, _ in found] == [[200] * 4] * 50
    # Every page trains its own network, by the same seed: all have the same losses.
    assert {tuple(losses) for _, losses in found} == {tuple(found[0][1])}
    assert len(found[0][1]) == settings["steps"]


def test_more_pages_than_are_kept_let_the_most_silent_go(client):
    sessions = [client.open() for _ in range(served.MOST_SESSIONS)]
    assert client.post(f"{sessions[0]}/maps", {}).status == 200
    newest = client.open()
    assert client.post(f"{sessions[1]}/maps", {}).status == 410
    assert client.post(f"{sessions[0]}/maps", {}).status == 200
    assert client.post(f"{newest}/maps", {}).status == 200


def test_few_of_the_sessions_that_were_left_are_kept(client):
    left = [client.open() for _ in range(served.MOST_LEFT + 2)]
    for session in left:
        client.ask("POST", f"{session}/bye", b"")
    client.open()
    names = [session.removeprefix("/sessions/") for session in left]
    again = [client.post("/open", {"session": name}).json()["session"] for name in names]
    assert [new == old for new, old in zip(again, names, strict=True)] == (
        [False] * 2 + [True] * served.MOST_LEFT
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_requests(client):
    session = client.open()

    def ask():
        for _ in range(150):
            client.post(
                f"{session}/explain", {"number": "output", "layer": "conv1", "at": [0, 0, 0]}
            )
            client.ask("GET", "/page/main.js")
        gc.collect()
        return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1])

    ask()
    before = ask()
    assert ask() - before < 4000  # kB


# ---- The end ----


@pytest.mark.slow
def test_the_server_ends_when_the_last_page_has_gone(monkeypatch):
    monkeypatch.setattr("convprop.explorer.serving.GRACE", 0.5)

    def gone(client):
        try:
            return client.ask("GET", "/").status != 200
        except OSError:
            return True

    with running() as client:
        pages = [client.enter().open(), client.open()]
        assert client.ask("POST", f"{pages[0]}/alive", b"").status == 204
        assert client.ask("POST", f"{pages[0]}/bye", b"").status == 204
        time.sleep(1.5)
        assert not gone(client)
        client.ask("POST", f"{pages[1]}/bye", b"")
        deadline = time.monotonic() + 15
        while not gone(client):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.slow
def test_a_page_that_falls_silent_has_gone(monkeypatch):
    monkeypatch.setattr("convprop.explorer.serving.GRACE", 0.5)
    monkeypatch.setattr(served, "SILENCE", 2.0)
    with running() as client:
        session = client.enter().open()
        for _ in range(6):
            time.sleep(0.5)
            assert client.ask("POST", f"{session}/alive", b"").status == 204
        time.sleep(4)
        with pytest.raises(OSError, match="refused"):
            client.ask("GET", "/")


def test_a_server_that_ends_answers_those_who_wait(monkeypatch):
    # Behind a long request others wait for the session; they do not begin when the end has come.
    with running() as client:
        session = client.enter().open()
        held = next(iter(client.serving._explorer._held.values()))
        with held.lock, ThreadPoolExecutor(3) as threads:
            waiting = [threads.submit(client.post, f"{session}/maps", {}) for _ in range(3)]
            time.sleep(0.3)
            client.serving._explorer.ends = True
            held.lock.release()
            statuses = [request.result().status for request in waiting]
            held.lock.acquire()
        assert statuses == [503] * 3


@pytest.mark.parametrize(
    ("lack", "words", "said"),
    [
        (RuntimeError, "can't start new thread", "threads must be at most the "),
        (MemoryError, "Unable to allocate 9 GB", "not enough memory: Unable to allocate 9 GB"),
    ],
)
def test_what_the_machine_lacks_is_said(client, monkeypatch, capfd, lack, words, said):
    async def fails(*_):
        raise lack(words)  # A new one: what has been raised holds the server by its traceback.

    session = client.open()
    monkeypatch.setattr(served, "run_in_threadpool", fails)
    for path in ("/open", f"{session}/maps"):
        answer = client.post(path, {})
        assert (answer.status, answer.json()["error"].startswith(said)) == (503, True)
    assert capfd.readouterr().err == ""


def test_a_frame_needs_no_cookie_and_its_token_in_every_path():
    with running(framed=True, stays=True) as client:
        assert client.ask("GET", client.entrance).status == 200
        assert client.ask("GET", f"{client.entrance}page/main.js").status == 200
        assert client.ask("POST", f"{client.entrance}open", b"{}").status == 200
        for path in ("/", "/page/main.js", "/wrong/", "/open"):
            assert client.ask("GET", path).status == 401
        evil = {"Origin": "http://evil.example"}
        assert client.ask("POST", f"{client.entrance}open", b"{}", headers=evil).status == 403


def test_a_notebook_shows_a_frame():
    data = small_data()
    shown = small_network().explore(data.images[:5], data.labels[:5])
    try:
        client = Client(shown._serving)
        html = shown._repr_html_()
        assert f'<iframe src="{shown.url}"' in html
        # Without it, another site's frame may not copy its link.
        assert 'allow="clipboard-write"' in html
        # What is seen of a saved notebook when nobody answers any more.
        assert "run the cell again" in html.partition("<iframe")[0]
        assert shown.url in repr(shown)
        assert client.ask("GET", client.entrance).status == 200
        answer = client.ask("POST", f"{client.entrance}open", b"{}").json()
        assert answer["images"] == 5
    finally:
        shown.close()
    shown.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"images": [[1], [2, 3]]}, "images must be one array of numbers"),
        ({"labels": np.eye(10)[:5]}, r"labels must have shape \(N,\), got shape \(5, 10\)"),
        ({"labels": [0.5] * 5}, "labels must be integers, got dtype float64"),
        ({"labels": [1, 2]}, "labels must hold one label for each of the 5 images, got 2"),
        ({"height": "900"}, "height must be a positive integer, got '900'"),
    ],
)
def test_a_frame_refuses_what_it_cannot_show(wrong, message):
    with pytest.raises(cp.InvalidInput, match=message):
        small_network().explore(**{"images": small_data().images[:5]} | wrong)


@pytest.mark.slow
def test_a_cell_that_runs_again_ends_its_frame_and_no_other(monkeypatch):
    message = {"metadata": {}, "header": {}}
    shell = types.SimpleNamespace(get_parent=lambda: message)
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    net, images = small_network(), small_data().images[:2]
    frames = []
    try:
        for cell, run in (("a", "1"), ("a", "1"), ("b", "2"), ("a", "3"), (None, "4"), (None, "5")):
            message["metadata"], message["header"] = {"cellId": cell}, {"msg_id": run}
            frames.append(net.explore(images))
        alive = [frame._thread.is_alive() for frame in frames]
    finally:
        for frame in frames:
            frame.close()
    assert alive == [False, False, True, True, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("looked_at", [False, True])
def test_a_program_ends_with_its_frame_open_and_in_silence(looked_at):
    program = """
import sys, urllib.request
sys.path.insert(0, sys.argv[1])
from server import small_data, small_network
shown = small_network().explore(small_data().images[:5])
if sys.argv[2] == "True":
    urllib.request.urlopen(shown.url + "open", b"{}").read()
"""
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(looked_at)]
    finished = subprocess.run(command, timeout=60, capture_output=True, text=True)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
