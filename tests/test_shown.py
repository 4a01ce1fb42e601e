"""What comes from a file or a user is shown on one line, without commands, of bounded length."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import convprop as cp
from convprop import data
from convprop.about.inspection import inspect_file
from convprop.cli.app import run
from convprop.data import Dataset
from convprop.errors import ConvpropError, DataError, InvalidInput, ModelFileError, invalid
from convprop.explorer import answers
from convprop.explorer.session import Session
from convprop.shown import MOST, brief, escape, printable, shortened
from refusal import refuses

ODD = {
    "\x1b[31m": r"\x1b[31m",
    "\u202egnp.exe": r"\u202egnp.exe",
    "a\u200bb\ufeff": r"a\u200bb\ufeff",
    "\u2028": r"\u2028",
    "\ud800": r"\ud800",
    "two\nlines\r": r"two\nlines\r",
    "\x9b\x00\x7f": r"\x9b\x00\x7f",
    "\U000e0041": r"\U000e0041",
    "Größe 猫 مرحبا": "Größe 猫 مرحبا",
}


@pytest.mark.parametrize(("text", "shown"), ODD.items())
def test_what_would_command_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown
    assert str(ConvpropError(text)) == shown
    assert str(invalid("x", "be plain", text)) == f"x must be plain, got {shown}"
    assert escape(text.replace("\n", " ")) == shown.replace("\\n", " ")


def test_what_is_left_out_of_a_long_value_is_said():
    assert shortened("x" * MOST) == "x" * MOST
    text = shortened("a" * 3000 + "b" * 2000)
    assert text == f"{'a' * 420}... (4,500 more characters) ...{'b' * 80}"
    # What is escaped takes its room.
    assert len(shortened("\x1b" * 5000)) < MOST + 40
    assert brief([1] * 5000, 20) == "[1, 1, 1, 1, 1,... (14,980 more characters) ...1, 1]"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda text: cp.Conv(text, 3),
        lambda text: cp.Conv(2, 3, padding=text),
        lambda text: cp.Adam(text),
        lambda text: cp.Adam(10**4000),
        lambda text: cp.Dense(-(10**4000)),
        lambda text: cp.Network(text, (1, 4, 4)),
        lambda text: cp.Network([cp.Dense(2)], text),
        lambda text: cp.Network([cp.Dense(2)], (1, 4, 4), dtype=text),
        lambda text: cp.Network([cp.Dense(2)], (1, 4, 4)).save(f"/nowhere/{text}"),
        lambda text: data.load(text),
        lambda text: data.load(f"{text}\0/{text}.npz"),
        lambda text: data.load("digits", size=(text, 3)),
        lambda text: cp.train(cp.Network([cp.Dense(2)], (1, 4, 4)), text, text),
    ],
)
def test_no_message_quotes_all_of_a_long_value(wrong):
    with pytest.raises((InvalidInput, DataError)) as caught:
        wrong("x\x1b" * 2500)
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), 10**5000], ids=["positive", "negative", "without a text"]
)
def test_integers_beyond_every_float(value):
    """Python converts none of these to a float, and the last one to no text either."""
    for wrong in (cp.Adam, cp.Dropout, cp.schedules.Exponential, cp.LeakyReLU):
        with pytest.raises(InvalidInput):
            wrong(value)
    with pytest.raises(InvalidInput, match="seed must be an integer in"):
        cp.Network([cp.Dense(2)], (1, 4, 4), seed=value)


def test_errors_can_be_passed_between_processes():
    error = pickle.loads(pickle.dumps(ConvpropError("one\n", "two")))
    assert str(error) == "one\\n\ntwo"


HOSTILE = "7\x1b]0;owned\x07\u202e"
SHOWN = r"7\x1b]0;owned\x07\u202e"


@pytest.fixture
def newer(tmp_path):
    """Return a model of a later format, whose writer is no version."""
    path = tmp_path / "newer.safetensors"
    text = json.dumps({"format_version": 9, "package_version": HOSTILE})
    save_file({"x": np.zeros(1, np.float32)}, path, {"convprop": text})
    return path


def test_a_newer_model_cannot_command_the_terminal(newer, capsys):
    fault = f"format version 9, written by convprop {SHOWN}; this one reads 1, 2 and 3"
    with refuses(ModelFileError, f"{newer}: {fault}"):
        cp.load(newer)
    assert inspect_file(newer).faults == [fault]
    for command in ("inspect", "summary", "predict", "evaluate", "explore", "check", "profile"):
        files = ["digits"] if command in ("predict", "evaluate", "explore") else []
        assert run([command, str(newer), *files]) == 1
        shown = "".join(capsys.readouterr())
        assert fault in shown.replace("\n          ", " ")
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)


@pytest.fixture
def odd_model(tmp_path):
    """Return a model whose classes and settings have odd names."""
    net = cp.Network([cp.Dense(2)], (1, 4, 4))
    net.class_names = ["cat\x1b[2J", "\u202egod"]
    net.training_settings = {"note\x1b": "\x1b[31m" + "x" * 5000, "optimizer": "mine"}
    net.save(tmp_path / "odd.safetensors")
    return tmp_path / "odd.safetensors"


def test_class_names_and_settings_are_escaped_in_tables_and_data_in_json(
    odd_model, tmp_path, capsys
):
    picture = tmp_path / "a\x1b\u202e.png"
    Image.new("L", (4, 4)).save(picture)
    for arguments in (["inspect"], ["summary"], ["predict", str(picture)]):
        assert run([arguments[0], str(odd_model), *arguments[1:]]) == 0
        shown = capsys.readouterr().out
        assert r"cat\x1b[2J" in shown or r"\u202egod" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
        assert len(shown) < 3000
    assert run(["predict", str(odd_model), str(picture), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["file"] == str(picture)
    assert record["label"] in ("cat\x1b[2J", "\u202egod")


def test_the_explorer_shows_names_that_are_no_utf8():
    images, labels = np.zeros((4, 1, 4, 4), np.uint8), np.arange(4, dtype=np.int32) % 2
    named = Dataset(images, labels, ["a\x1b", "b"], "\udcff.npz")
    session = Session(cp.Network([cp.Dense(2)], (1, 4, 4)), named, cp.Adam(0.01))
    shown = answers.network(session)
    assert (shown["data"], shown["classes"]) == (r"\udcff.npz", [r"a\x1b", "b"])
    assert r"a\x1b" in named._repr_html_()


@pytest.mark.parametrize(
    "line",
    [
        ["train", "--LONG"],
        ["train", "digits", "LONG"],
        ["LONG"],
        ["train", "--preset", "LONG"],
        ["train", "--augment", "LONG=1"],
        ["train", "--augment", "flip=LONG"],
        ["train", "--config", "LONG"],
        ["train", "--out", "LONG", "--log", "LONG"],
        ["train", "--learning-rate", "LONG"],
        ["show", "--out", "LONG"],
        ["show", "--class", "LONG"],
        ["find-rate", "--out", "LONG"],
        ["inspect", "LONG"],
        ["summary", "LONG"],
        ["search", "digits", "--try", "LONG=1,2"],
        ["explore", "--host", "LONG"],
    ],
)
def test_a_command_line_is_not_quoted_whole(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run([part.replace("LONG", "x\x1b" * 2500) for part in line]) in (1, 2)
    shown = "".join(capsys.readouterr())
    assert "x" in shown
    assert "\x1b" not in shown
    assert len(shown) < 3000


def test_names_of_files_are_escaped_in_errors(tmp_path, capsys):
    name = tmp_path / "\x1b[31m\u202e"
    for arguments in (["inspect", name], ["train", name], ["predict", name, "x.png"]):
        assert run([str(part) for part in arguments]) == 1
        shown = "".join(capsys.readouterr())
        assert r"\x1b[31m\u202e" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
