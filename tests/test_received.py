"""What a file says is looked at, its types, ranges and depth, before anything is made of it."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

import convprop as cp
from convprop.about.inspection import inspect_file
from convprop.errors import InvalidInput, ModelFileError
from convprop.files import json_text
from convprop.files import model as model_file
from convprop.files.header import read_header, read_tensor
from convprop.training.checkpoint import METADATA_KEY, CheckpointError, Checkpoints, _digest, read
from refusal import refuses

DEEP = "[" * 100_000
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 1, 5, 5)).astype(np.uint8)
LABELS = np.arange(12) % 2


def network() -> cp.Network:
    return cp.Network([cp.Conv(2, 3), cp.ReLU(), cp.Dense(2)], (1, 5, 5))


def parts(content: bytes) -> tuple[dict, bytes]:
    """Return a file's header and data."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: dict, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_model(path: Path, change) -> None:
    """Write a model whose description's text ``change`` has changed, or an object of it."""
    network().save(path)
    header, data = parts(path.read_bytes())
    text = header["__metadata__"]["convprop"]
    found = json.loads(text)
    changed = change(found)
    text = changed if isinstance(changed, str) else json.dumps(found)
    path.write_bytes(joined(header | {"__metadata__": {"convprop": text}}, data))


def scaled(found: dict, offset: list, scale: list) -> None:
    """Give a description the unit of numbers."""
    found.update(format_version=2, target_scaling={"offset": offset, "scale": scale})


HUGE = 10**399


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # What `load` has always refused.
        (lambda d: d["conventions"].update(conv1="sideways"), "conventions are not those of"),
        (lambda d: d.update(seed=-1), "seed must be an integer in 0..2**64 - 1, got -1"),
        (lambda d: d.update(class_names=["a"] * 3), "class_names must hold one name for each of"),
        (lambda d: d.update(normalisation={"offset": [0, 0], "scale": [1]}), "normalisation must"),
        (lambda d: d.update(loss={"kind": "hinge"}), "loss must be one of"),
        (lambda d: d.update(dtype=["float32"]), "dtype must be float32 or float64"),
        (lambda d: d.update(format_version=2), "the description lacks target_scaling"),
        (lambda d: scaled(d, [0.0], [1.0]), "target_scaling must be None for a loss other than"),
        # Numbers that are texts, or the other way round.
        (lambda d: d.update(normalisation={"offset": ["0"], "scale": ["1"]}), "normalisation must"),
        (lambda d: d.update(package_version=1), "package_version must be a string, got 1"),
        (lambda d: d.update(format_version=True), "format version True"),
        (lambda d: d.update(format_version=1.0), "format version 1.0"),
        (lambda d: d["layers"][1].update(kind=["relu"]), "layer 2 must be an object with a kind"),
        (lambda d: d["layers"][0].update(padding={"x": 1}), "padding must be a text, a number"),
        (lambda d: d["layers"][0].update(padding=[[0, 0], [0, 0]]), "padding must be a text"),
        (lambda d: d["layers"][0].update(algorithm=["direct"]), "algorithm must be 'direct' or"),
        # Beyond every range.
        (lambda d: d["layers"][0].update(padding_value=HUGE), "an integer of more than 64 bits"),
        (lambda d: d["layers"][0].update(dilation=HUGE), "an integer of more than 64 bits"),
        (lambda d: json.dumps(d)[:-1] + ', "x": 1e999}', "inf is not a JSON number"),
        (lambda d: json.dumps(d)[:-1] + f', "x": {"1" * 5000}}}', "Exceeds the limit"),
        (lambda d: json.dumps(d)[:-1] + ', "x": NaN}', "NaN is not a JSON number"),
        (lambda d: d.update(class_names=["\ud800", "b"]), "half of a surrogate pair"),
        # Too deep for the stack, and only for what may come after.
        (lambda d: DEEP, "nested more than 32 levels deep"),
        (lambda d: json.dumps(d)[:-1] + f', "x": {DEEP}', "nested more than 32 levels deep"),
        (lambda d: f"{'[' * 40}{']' * 40}", "nested more than 32 levels deep"),
        (lambda d: d.update(training_settings={"x": json.loads("[" * 40 + "]" * 40)}), "nested"),
    ],
)
def test_inspect_and_load_refuse_the_same_for_the_same_reason(tmp_path, change, reason):
    path = tmp_path / "net"
    write_model(path, change)
    with pytest.raises(ModelFileError) as caught:
        cp.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert inspect_file(path).faults == [str(caught.value).removeprefix(f"{path}: ")]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rate": float("inf")}, "inf is not a JSON number"),
        ({"rate": [float("nan")]}, "nan is not a JSON number"),
        ({"steps": HUGE}, "an integer of more than 64 bits"),
        ({"note": "\udc80"}, "half of a surrogate pair"),
        ({"seen": {1, 2}}, "a set, which JSON does not have"),
        ({1: 2}, "a name that is no text, 1"),
        ({"deep": json.loads("[" * 40 + "]" * 40)}, "nested more than 32 levels deep"),
    ],
)
def test_what_could_not_be_loaded_again_is_not_saved(tmp_path, settings, reason):
    net = network()
    with pytest.raises(InvalidInput, match="training_settings must be ready for JSON, got") as e:
        model_file.save(net, tmp_path / "net", settings)
    assert reason in str(e.value)
    assert list(tmp_path.iterdir()) == []
    assert net.training_settings is None
    net.training_settings = settings
    with pytest.raises(InvalidInput, match="training_settings must be ready for JSON"):
        net.save(tmp_path / "net")


def test_other_networks_that_could_not_be_loaded_again(tmp_path):
    deep = cp.Network([cp.Identity()] * 1000 + [cp.Dense(2)], (1, 1, 1))
    with refuses(InvalidInput, "layers must be at most 1000 to be saved, got 1001"):
        deep.save(tmp_path / "net")
    many = cp.Network([cp.Dense(2)], (1, 1, 1))
    many.class_names = ["x" * (9 << 20), "y" * (9 << 20)]
    with pytest.raises(InvalidInput, match="description must take at most 16,777,216 bytes"):
        many.save(tmp_path / "net")
    with refuses(InvalidInput, r"class_names must hold texts of Unicode characters, got '\ud800'"):
        many.class_names = ["\ud800", "b"]
    # More than a megabyte of names is no reason to refuse.
    many.class_names = ["x" * (1 << 20), "y"]
    many.save(tmp_path / "net")
    assert cp.load(tmp_path / "net").class_names == many.class_names


def test_the_edge_of_what_json_may_hold():
    assert json_text.parse(str(2**64 - 1)) == 2**64 - 1
    assert json_text.parse("[" * 31 + "1" + "]" * 31)
    assert json_text.parse("[NaN, Infinity, 1e999]", infinite=True)[1:] == [float("inf")] * 2
    for text in (str(2**64), "[" * 32 + "1" + "]" * 32):
        with pytest.raises(ValueError):
            json_text.parse(text)


# ---- Checkpoints ----


def trained(path: Path, **options) -> tuple[cp.Network, cp.training.History]:
    net = network()
    given = {"checkpoints": Checkpoints(path), "stopping": cp.EarlyStopping(3, measure="loss")}
    history = cp.train(net, IMAGES, LABELS, epochs=3, **{"batch_size": 4} | given | options)
    return net, history


@pytest.fixture
def two(tmp_path):
    """Return a training's two checkpoints, the newer one first."""
    trained(tmp_path / "net", checkpoints=Checkpoints(tmp_path / "net", epochs=1))
    files = Checkpoints(tmp_path / "net").files()
    assert [file.name[-2:] for file in files] == ["09", "06"]
    return files


def rewrite(path: Path, change, arrays=None) -> None:
    """Write a checkpoint again, changed, with the hash that it then has."""
    header, data = parts(path.read_bytes())
    text = header["__metadata__"][METADATA_KEY]
    found = json.loads(text)
    changed = change(found)
    text = changed if isinstance(changed, str) else json.dumps(found)
    whole = read_header(path)
    with path.open("rb") as file:
        held = {name: read_tensor(file, name, t) for name, t in whole.tensors.items()}
    if arrays is not None:
        arrays(held)
        data = b"".join(held[name].tobytes() for name in whole.tensors)
    metadata = {METADATA_KEY: text, "sha256": _digest(held, text)}
    path.write_bytes(joined(header | {"__metadata__": metadata}, data))


def set_in(*way):
    """Return a change: the last of ``way`` is put where the others lead."""
    *above, key, value = way

    def change(found):
        for step in above:
            found = found[step]
        found[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: DEEP, "nested more than 32 levels deep"),
        (lambda d: "[1]", "the description is not a JSON object"),
        (set_in("format_version", "1"), "format version '1', this one reads 1"),
        (lambda d: d.pop("steps") and None, "steps must be an integer of at least 0, got None"),
        (set_in("steps", "nine"), "steps must be an integer of at least 0, got 'nine'"),
        (set_in("steps", 8), "steps must be those of 3 epochs of 3, and 0, got 8"),
        (set_in("history", {}), "history must be a list, got {}"),
        (set_in("history", 0, 7), "epoch 1 of the history must hold epoch, loss,"),
        (set_in("history", 0, 1, "low"), "epoch 1 of the history's loss must be a number"),
        (set_in("history", 1, 0, 5), "epoch 2 of the history must be epoch 2, got 5"),
        (set_in("position", None), "position must hold epoch, batch,"),
        (set_in("position", "extra", 1), "position must hold epoch, batch,"),
        (set_in("position", "batch", 1.5), "position's batch must be an integer, got 1.5"),
        (set_in("position", "batch", -1), "position's batch must lie in 0..9"),
        (set_in("position", "epoch", 9), "position's epoch must follow 3 finished ones, got 9"),
        (set_in("position", "kept_step", 10**6), "position's kept_step must lie in 0..9"),
        (set_in("position", "loss_sum", float("nan")), "position's sums must be a number"),
        (set_in("watch", "best", "x"), "watch's best must be a number, got 'x'"),
        (set_in("watch", "waited", True), "watch's waited must be an integer, got True"),
        (set_in("watch", "last_epoch", 2**40), "watch's last_epoch must be 0 or in 3.."),
        (set_in("watch", "last_epoch", 1), "watch's last_epoch must be 0 or in 3.."),
        (set_in("training", 3), "training must hold data, dtype,"),
        (set_in("training", "settings", []), "settings must be an object, got []"),
        (set_in("training", "settings", "optimizer", {"kind": "x"}), "optimizer must be one of"),
        (
            set_in("training", "settings", "augment", {"kind": "augment", "flip": []}),
            "flip must be",
        ),
        (
            set_in("training", "settings", "augment", {"kind": "augment", "flip": {}}),
            "flip must be",
        ),
        (set_in("training", "settings", "epochs", [3]), "epochs must be a number, True, False"),
        (set_in("training", "layers", [[]]), "layer 1 must be an object with a kind"),
        (set_in("training", "input_shape", 5), "input_shape must be (channels, rows, columns)"),
        (set_in("training", "normalisation", {"x": 1}), "normalisation must be a list or null"),
        (set_in("training", "target_scaling", {"offset": 1}), "target_scaling must be a list or"),
        (set_in("training", "target_scaling", [[0, 0], [1, 1]]), "target_scaling must be None for"),
        (set_in("training", "seed", 10**400), "an integer of more than 64 bits"),
    ],
)
def test_a_checkpoint_of_odd_contents_is_passed_over(two, change, reason):
    """Its hash is right, so nothing but its contents tells."""
    newer, older = two
    expected, _ = trained(older.parent / "net", resume=True)
    rewrite(newer, change)
    net, history = trained(older.parent / "net", resume=True)
    assert history.resumed_from == older
    (passed,) = history.passed_over
    assert passed.startswith(f"{newer}: ")
    assert reason in passed
    # Nothing of it is in the weights.
    assert net.weights_sha256() == expected.weights_sha256()
    if "those of 3 epochs" not in reason:
        # How many steps an epoch has the header does not tell.
        assert inspect_file(newer).faults == [passed.removeprefix(f"{newer}: ")]


@pytest.mark.parametrize("name", ["weight conv1.weight", "kept dense1.bias", "best dense1.bias"])
def test_a_checkpoint_of_weights_that_are_not_finite_is_passed_over(two, name):
    newer, older = two
    rewrite(newer, lambda found: None, lambda arrays: arrays[name].fill(np.nan))
    net, history = trained(older.parent / "net", resume=True)
    assert history.passed_over == [f"{newer}: {name} holds NaN or infinity"]
    assert all(np.isfinite(array).all() for array in net.parameters.values())


def test_the_hash_is_looked_at_before_the_contents(two):
    newer, older = two
    header, data = parts(newer.read_bytes())
    header["__metadata__"][METADATA_KEY] = DEEP
    newer.write_bytes(joined(header, data))
    with refuses(CheckpointError, f"{newer}: the contents are not what was written"):
        read(newer)
    _, history = trained(older.parent / "net", resume=True)
    assert history.resumed_from == older


def test_other_settings_are_still_told_from_damage(two):
    with pytest.raises(InvalidInput, match="had batch_size=4, got batch_size=6"):
        trained(two[0].parent / "net", resume=True, batch_size=6)
