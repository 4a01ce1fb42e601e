"""What is in a file, told from its header: for whole files, damaged ones and strangers'."""

import json
import os
import resource
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import convprop as cp
from convprop.about.inspection import inspect_file
from convprop.errors import ModelFileError
from refusal import refuses


@pytest.fixture(scope="module")
def network() -> cp.Network:
    net = cp.Network([cp.Conv(3, 3), cp.ReLU(), cp.Dense(2, name="last")], (1, 6, 6))
    net.class_names = ["cat", "dog"]
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 6, 6)).astype(np.uint8)
    cp.train(net, images, np.arange(20) % 2, epochs=2)
    return net


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "net.safetensors"
    network.save(path)
    return path


def stored(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a file of a header and what follows it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def test_a_model_is_told_without_being_loaded(network, model, monkeypatch):
    monkeypatch.setattr(cp.Network, "__init__", None)
    found = inspect_file(model)
    assert (found.kind, found.faults) == ("model", [])
    assert found.weights_sha256 == network.weights_sha256()
    assert [node.layer for node in found.graph.nodes] == list(network.layers)
    assert found.description["class_names"] == ["cat", "dog"]
    assert found.description["training_settings"] == network.training_settings
    assert found.header.size == os.path.getsize(model)
    shapes = {name: tensor.shape for name, tensor in found.header.tensors.items()}
    assert shapes == {name: array.shape for name, array in network.parameters.items()}


def test_a_checkpoint_is_told(tmp_path, network):
    net = cp.Network(network.layers, network.input_shape)
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 6, 6)).astype(np.uint8)
    checkpoints = cp.Checkpoints(tmp_path / "net", epochs=2)
    cp.train(net, images, np.arange(20) % 2, epochs=2, batch_size=8, checkpoints=checkpoints)
    found = inspect_file(checkpoints.files()[0])
    assert (found.kind, found.faults) == ("checkpoint", [])
    assert found.weights_sha256 == net.weights_sha256()
    assert found.description["steps"] == 6
    assert [node.layer for node in found.graph.nodes] == list(net.layers)


def test_a_file_that_was_cut_off_tells_what_is_left(tmp_path, model):
    whole, path = model.read_bytes(), tmp_path / "net.safetensors"
    path.write_bytes(whole[:-100])
    found = inspect_file(path)
    assert found.faults == [f"cut off: 100 of {len(whole):,} bytes are missing"]
    assert found.description["class_names"] == ["cat", "dog"]
    assert found.weights_sha256 is None
    path.write_bytes(whole + b"12")
    assert inspect_file(path).faults == ["2 bytes too many at the end"]
    length = struct.unpack("<Q", whole[:8])[0]
    path.write_bytes(whole[:500])
    with refuses(ModelFileError, f"{path}: cut off in its header, which has {length:,} bytes: 492"):
        inspect_file(path)


def test_a_file_of_another_program_shows_its_tensors(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"x": np.zeros((2, 3), np.float16)}, path, {"format": "pt"})
    found = inspect_file(path)
    assert found.kind == "safetensors"
    assert found.header.tensors["x"].shape == (2, 3)
    lacking = "a safetensors file, but without convprop's description of a network"
    assert found.faults == [lacking]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a model file: it does not begin as safetensors files do"),
        (b"PK\x03\x04 and so on", "not a model file: it does not begin as safetensors files do"),
        (stored({}, length=2**63), "not a model file: it does not begin as safetensors files do"),
        (stored({}, length=2**22), "cut off in its header, which has 4,194,304 bytes: 2"),
        (stored(b"[" * 100000), "not a model file: it does not begin as safetensors files do"),
        (
            stored({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}),
            "a damaged header (the tensor 'a' must have a shape of at most 32 numbers of at"
            " least 0, got [-1])",
        ),
        (
            stored({"a": {"dtype": 3, "shape": [1], "data_offsets": [0, 4]}}),
            "a damaged header (the tensor 'a' must have a text as its dtype, got 3)",
        ),
        (
            stored({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4.0]}}),
            "a damaged header (the tensor 'a' must have two numbers of at least 0 as its"
            " data_offsets, got [0, 4.0])",
        ),
        (
            stored({"a": {"shape": [1]}}),
            "a damaged header (the tensor 'a' must have dtype, shape and data_offsets,"
            " got {'shape': [1]})",
        ),
        (
            stored({"__metadata__": {"convprop": 1}}),
            "a damaged header (__metadata__ must map names to strings)",
        ),
    ],
)
def test_what_has_no_header(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with refuses(ModelFileError, f"{path}: {message}"):
        inspect_file(path)


@pytest.mark.parametrize("start", [b'{"a":', b'{"a":' + b"9" * 5000])
def test_headers_that_are_no_json(tmp_path, start):
    path = tmp_path / "file"
    path.write_bytes(stored(start + b"[" * 200000))
    with pytest.raises(ModelFileError, match="a damaged header"):
        inspect_file(path)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with refuses(ModelFileError, f"{path}: not a regular file"):
            inspect_file(path)
    with pytest.raises(FileNotFoundError):
        inspect_file(tmp_path / "none")


def test_tensors_that_are_not_as_they_should_be(tmp_path):
    path = tmp_path / "file"
    entries = {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        "b": {"dtype": "F5", "shape": [2], "data_offsets": [6, 8]},
    }
    path.write_bytes(stored(entries, b"12345678"))
    assert inspect_file(path).faults[:3] == [
        "the tensor 'a' has 4 bytes, not 8",
        "the tensor 'b' has the unknown dtype 'F5'",
        "the tensor 'b' does not begin where the one before ends",
    ]


def test_a_later_format_is_a_fault(tmp_path):
    path = tmp_path / "file"
    text = json.dumps({"format_version": 9, "package_version": "7.0"})
    path.write_bytes(stored({"__metadata__": {"convprop": text}}))
    found = inspect_file(path)
    assert found.faults == ["format version 9, written by convprop 7.0; this one reads 1, 2 and 3"]


def test_flipped_bits_are_found_or_harmless(tmp_path, model):
    """Whatever is damaged, there is one kind of error; what loads is told as it loads."""
    whole, path = model.read_bytes(), tmp_path / "file"
    length = 8 + struct.unpack("<Q", whole[:8])[0]
    random = np.random.default_rng(1)
    faulty = 0
    for _ in range(400):
        content = bytearray(whole)
        content[random.integers(length)] ^= 1 << random.integers(8)
        path.write_bytes(content)
        try:
            found = inspect_file(path)
        except ModelFileError:
            faulty += 1
            continue
        faulty += bool(found.faults)
        try:
            net = cp.load(path)
        except ModelFileError:
            continue
        assert found.faults == []
        assert found.weights_sha256 == net.weights_sha256()
    assert faulty > 200


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path):
    path = tmp_path / "file"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 3 << 30) + b"{")
        file.truncate(4 << 30)
    code = (
        "import sys; from convprop.about.inspection import inspect_file\n"
        "try: inspect_file(sys.argv[1])\n"
        "except Exception as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30)),
    )
    rule = "not a model file: it does not begin as safetensors files do"
    assert result.stdout == f"{path}: {rule}\n"
