"""Model files: the same network again, written whole or not at all, and nothing trusted."""

import json
import os
import socket
import stat

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

import convprop as cp
from convprop import schedules
from convprop.errors import InvalidInput, ModelFileError
from convprop.files import model as model_file
from convprop.files.atomic import check_writable
from convprop.layers import LAYERS
from refusal import refuses


def network(dtype: str = "float32") -> cp.Network:
    layers = [
        cp.Conv(4, 3, padding="same", name="stem"),
        cp.LeakyReLU(0.2),
        cp.MaxPool(2),
        cp.Conv(6, (2, 3), flip_kernel=True, groups=2, initializer=cp.initializers.HeNormal()),
        cp.Tanh(),
        cp.AveragePool("global", count_padding=False),
        cp.Dense(3, bias=False),
        cp.PReLU(by_channel=True, initial=0.125),
        cp.GELU("tanh"),
        cp.ELU(0.5),
    ]
    loss = cp.BinaryCrossEntropy("sum")
    return cp.Network(layers, (2, 8, 9), loss, seed=2**63 + 1, dtype=dtype)


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 2, 8, 9)).astype(np.uint8)


def description(path) -> dict:
    with safetensors.safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["convprop"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(tmp_path, dtype):
    net, path = network(dtype), tmp_path / "model.safetensors"
    cp.train(
        net,
        images(),
        np.arange(20) % 3,
        optimizer=cp.SGD(0.01, momentum=0.5),
        schedule=schedules.Step(at=(0.3, 0.6)),
        epochs=1,
    )
    net.class_names = ["Ei", "Ö", "猫"]
    net.save(path)
    same = cp.load(path)
    assert same.layers == net.layers
    assert same.names == net.names
    assert same.loss == net.loss
    assert same.seed == net.seed
    assert same.dtype == net.dtype
    assert same.class_names == ("Ei", "Ö", "猫")
    assert np.array_equal(same.normalisation, net.normalisation)
    assert same.weights_sha256() == net.weights_sha256()
    assert np.array_equal(same.predict(images()), net.predict(images()))
    assert same.training_settings == json.loads(json.dumps(net.training_settings))
    again = tmp_path / "again.safetensors"
    cp.Network.load(path).save(again)
    assert again.read_bytes() == path.read_bytes()


def test_metadata_and_tensors(tmp_path):
    path = tmp_path / "model.safetensors"
    net = network()
    model_file.save(net, path, training_settings={"epochs": 3})
    found = description(path)
    assert found["format_version"] == 1
    assert found["package_version"] == cp.__version__
    assert found["conventions"] == {
        "stem": "cross-correlation, Eq. 7",
        "max_pool1": "first winner in row order",
        "conv2": "convolution, Eq. 2",
        "average_pool1": "padding not counted",
    }
    assert found["training_settings"] == {"epochs": 3}
    assert found["normalisation"] is None
    tensors = load_file(path)
    assert tensors.keys() == set(net.parameters)
    for name, array in tensors.items():
        assert np.array_equal(array, net.parameters[name])


def test_loaded_network_trains_on(tmp_path):
    path = tmp_path / "model.safetensors"
    net = network()
    net.save(path)
    other = cp.load(path)
    for each in (net, other):
        cp.train(each, images(), np.arange(20) % 3, epochs=2)
    assert net.weights_sha256() == other.weights_sha256()


def test_existing_file_is_replaced_only_by_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    network().save(path)
    before = path.read_bytes()
    changed = network()
    changed.parameters["stem.bias"][...] = 1.0

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with refuses(
            InvalidInput,
            f"path must name a file that can be written, got {path} (no space left on device)",
        ):
            changed.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.safetensors"]
    changed.save(path)
    assert cp.load(path).weights_sha256() == changed.weights_sha256()
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_link_stays_a_link(tmp_path):
    link, path = tmp_path / "latest.safetensors", tmp_path / "model.safetensors"
    network().save(path)
    link.symlink_to(path)
    network().save(link)
    assert link.is_symlink()
    assert cp.load(link).weights_sha256() == network().weights_sha256()


@pytest.mark.parametrize("check", [check_writable, lambda path: network().save(path)])
def test_paths_that_cannot_be_written(tmp_path, check):
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path / "nowhere" / "model", "no such file or directory"),
        (tmp_path / "file" / "model", "not a directory"),
        (tmp_path, "is a directory"),
        (tmp_path / ("m" * 300), "file name too long"),
    ):
        with refuses(
            InvalidInput, f"path must name a file that can be written, got {path} ({reason})"
        ):
            check(path)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("check", [check_writable, lambda path: network().save(path)])
def test_what_is_no_regular_file_is_not_replaced(tmp_path, monkeypatch, check):
    # A socket's name has at most some 100 bytes.
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name in ("pipe", "link", "socket"):
            with refuses(
                InvalidInput,
                f"path must name a file that can be written, got {name} (not a regular file)",
            ):
                check(name)
    assert sorted(os.listdir()) == ["link", "pipe", "socket"]
    assert stat.S_ISFIFO(os.stat("link").st_mode)


@pytest.mark.parametrize("check", [check_writable, lambda path: network().save(path)])
def test_an_empty_path_is_no_file(check):
    with refuses(
        InvalidInput,
        "path must name a file that can be written, got '' (no such file or directory)",
    ):
        check("")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(tmp_path, value):
    path = tmp_path / "model.safetensors"
    rewritten(path, lambda found: None)
    before = path.read_bytes()
    spoiled = network()
    spoiled.parameters["conv2.weight"][1, 0, 1, 2] = value
    with refuses(
        InvalidInput, f"conv2.weight must be finite to be saved, got {value} at (1, 0, 1, 2)"
    ):
        spoiled.save(path)
    assert path.read_bytes() == before
    rewritten(path, lambda found: None, dict(spoiled.parameters))
    with refuses(
        ModelFileError,
        f"{path}: the tensor conv2.weight must be finite, got {value} at (1, 0, 1, 2)",
    ):
        cp.load(path)


def test_check_writable_leaves_nothing(tmp_path):
    check_writable(tmp_path / "model.safetensors")
    assert os.listdir(tmp_path) == []


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        cp.load(tmp_path / "nothing")


def test_truncated_files(tmp_path):
    path = tmp_path / "model.safetensors"
    network().save(path)
    whole = path.read_bytes()
    for length in (0, 5, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError) as caught:
            cp.load(path)
        begins = f"{path}: not a model file: it does not begin as"
        assert str(caught.value).startswith(begins if length <= 8 else f"{path}: cut off")


def test_foreign_files(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    begins = "it does not begin as safetensors files do"
    with refuses(ModelFileError, f"{path}: not a model file: {begins}"):
        cp.load(path)
    save_file({"w": np.zeros(3, np.float32)}, path)
    with refuses(
        ModelFileError,
        f"{path}: a safetensors file, but without convprop's description of a network",
    ):
        cp.load(path)


def test_what_is_no_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in ("/dev/null", pipe):
        with refuses(ModelFileError, f"{path}: not a regular file"):
            cp.load(path)


def rewritten(path, change, tensors=None) -> None:
    """Save a model whose description ``change`` has altered."""
    network().save(path)
    found = description(path)
    found = change(found) or found
    text = found if isinstance(found, str) else json.dumps(found)
    save_file(tensors or load_file(path), path, {"convprop": text})


def layer(index, **values):
    return lambda found: found["layers"][index].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda found: found.update(format_version=4, package_version="9.1"),
            "format version 4, written by convprop 9.1; this one reads 1, 2 and 3",
        ),
        (
            lambda found: found.update(format_version=2),
            "the description lacks target_scaling",
        ),
        (
            lambda found: found.update(target_scaling={"offset": [0.0], "scale": [1.0]}),
            "the description has an unknown field 'target_scaling'",
        ),
        (
            lambda found: found.update(format_version=2, target_scaling=[1.0]),
            "target_scaling must be null or hold an offset and a scale",
        ),
        (
            lambda found: found.update(
                format_version=2, target_scaling={"offset": [0.0], "scale": [1.0]}
            ),
            "target_scaling must be None for a loss other than SquaredError(), got"
            " BinaryCrossEntropy(reduction='sum')",
        ),
        (lambda found: found.pop("loss") and None, "the description lacks loss"),
        (
            lambda found: found.update(extra=1),
            "the description has an unknown field 'extra'",
        ),
        (lambda found: "[1]", "the description is not a JSON object"),
        (
            lambda found: '{"a": NaN}',
            "the description is not valid JSON (NaN is not a JSON number)",
        ),
        (
            lambda found: found.update(layers={}),
            "layers must be a list of at most 1000",
        ),
        (lambda found: found.update(layers=[]), "layers must hold at least one layer, got none"),
        (
            layer(1, kind="os.system"),
            f"layer 2 must be one of {', '.join(LAYERS)}, got 'os.system'",
        ),
        (
            lambda found: found["layers"].__setitem__(2, "pool"),
            "layer 3 must be an object with a kind, got 'pool'",
        ),
        (layer(0, weight=3), "layer 1 (conv) has an unknown field 'weight'"),
        (
            lambda found: found["layers"][0].pop("kernels") and None,
            "layer 1 (conv) lacks its field 'kernels'",
        ),
        (
            layer(0, kernels="four"),
            "layer 1 (conv): kernels must be a positive integer, got 'four'",
        ),
        (
            layer(3, initializer={"kind": "random"}),
            "layer 4's initializer must be one of constant, zeros, glorot_uniform,"
            " glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, got 'random'",
        ),
        (
            layer(0, kernel_size=[30, 30], padding=0),
            "window must fit into its padded input of 8x9, got 30x30,"
            " at stem = Conv(4, 30, name='stem'): input 2x8x9 -> stem",
        ),
        (
            lambda found: found.update(input_shape=[2, 8]),
            "input_shape must be (channels, rows, columns), each a positive integer, got [2, 8]",
        ),
        (
            lambda found: found.update(input_shape=[3, 8, 9]),
            "the tensor stem.weight must be 4x3x3x3, got 4x2x3x3",
        ),
        (
            layer(0, kernels=2**20),
            "the tensor stem.weight must be 1048576x2x3x3, got 4x2x3x3",
        ),
        (
            lambda found: found.update(dtype="float16"),
            "dtype must be float32 or float64, got 'float16'",
        ),
        (
            lambda found: found.update(dtype="float64"),
            "the tensor stem.weight must be F64, got F32",
        ),
        (
            layer(6, bias=True),
            "the tensor dense1.bias is missing",
        ),
        (
            layer(0, bias=False),
            "the tensor 'stem.bias' belongs to no layer",
        ),
        (
            lambda found: found["conventions"].update(stem="convolution, Eq. 2"),
            "conventions are not those of the layers",
        ),
        (
            lambda found: found.update(loss={"kind": "hinge"}),
            "loss must be one of squared_error, softmax_cross_entropy, binary_cross_entropy,"
            " got 'hinge'",
        ),
        (
            lambda found: found.update(seed=-1),
            "seed must be an integer in 0..2**64 - 1, got -1",
        ),
        (
            lambda found: found.update(normalisation=[0, 1]),
            "normalisation must be null or hold an offset and a scale",
        ),
        (
            lambda found: found.update(normalisation={"offset": [0], "scale": ["x"]}),
            "normalisation must be an offset and a scale of 2 finite numbers each,"
            " got ([0], ['x'])",
        ),
        (
            lambda found: found.update(normalisation={"offset": [0, 0], "scale": [1, 1e39]}),
            "normalisation must be finite in float32, got ([0, 0], [1, 1e+39])",
        ),
        (
            lambda found: found.update(normalisation={"offset": [0, 0], "scale": [1, 10**400]}),
            "the description is not valid JSON (an integer of more than 64 bits,"
            f" 1{'0' * 59}... (321 more characters) ...{'0' * 20})",
        ),
        (
            lambda found: found.update(class_names=["a", 2, "c"]),
            "class_names must be a list of strings or null",
        ),
        (
            lambda found: found.update(class_names=["a"]),
            "class_names must hold one name for each of the 3 classes, got 1",
        ),
        (
            lambda found: found.update(training_settings="long"),
            "training_settings must be an object or null",
        ),
    ],
)
def test_changed_descriptions_are_refused(tmp_path, change, message):
    path = tmp_path / "model.safetensors"
    rewritten(path, change)
    with refuses(ModelFileError, f"{path}: {message}"):
        cp.load(path)


def test_deeply_nested_description(tmp_path):
    path = tmp_path / "model.safetensors"
    rewritten(path, lambda found: "[" * 100_000)
    with pytest.raises(ModelFileError, match="the description is not valid JSON"):
        cp.load(path)
