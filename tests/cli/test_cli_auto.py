"""`auto` wherever a command names a preset: made for the data, as the estimators make it."""

import json
from pathlib import Path

import pytest
from runs import unfolded

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.explore import Reading, chosen
from convprop.cli.terminal import Terminal
from convprop.data import load
from convprop.estimators import auto_layers


def test_it_is_what_a_classifier_trains(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    out = tmp_path / "net"
    assert cli.run(["train", str(stripes_file), "--preset", "auto", "--epochs", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    train = load(stripes_file).train
    ours = cp.ConvNetClassifier(epochs=2, random_state=0)
    ours.fit(train.images, [train.class_names[label] for label in train.labels])
    assert record["weights_sha256"] == ours.network_.weights_sha256()
    assert record["preset"] == "auto"
    # Of few images as many epochs as make about a thousand steps, at most a hundred.
    plain = ["train", str(stripes_file), "--batch-size", "80", "--preset", "auto"]
    assert cli.run([*plain, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 100


@pytest.mark.parametrize("batch_size", [16, 64])
@pytest.mark.parametrize(
    ("preset", "optimizer"),
    [("auto", "sgd"), ("auto", "adamw"), ("auto", "rmsprop"), ("mlp", "adam"), ("mlp", "sgd")],
)
def test_an_optimizers_name_means_the_same_to_a_classifier(
    capsys: pytest.CaptureFixture[str],
    stripes_file: Path,
    preset: str,
    optimizer: str,
    batch_size: int,
) -> None:
    arguments = ["--preset", preset, "--optimizer", optimizer, "--batch-size", str(batch_size)]
    assert cli.run(["train", str(stripes_file), *arguments, "--epochs", "1", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    train = load(stripes_file).train
    ours = cp.ConvNetClassifier(
        preset, optimizer=optimizer, batch_size=batch_size, epochs=1, random_state=0
    )
    ours.fit(train.images, [train.class_names[label] for label in train.labels])
    assert record["weights_sha256"] == ours.network_.weights_sha256()


def test_a_settings_file_may_name_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('preset = "auto"\nepochs = 1\n')
    out = tmp_path / "net"
    arguments = ["train", str(stripes_file), "--config", str(settings)]
    assert cli.run([*arguments, "--out", str(out)]) == 0
    assert "\nnetwork   auto, " in capsys.readouterr().out
    assert 'preset = "auto"' in Path(f"{out}.toml").read_text()
    assert cp.load(out).training_settings["preset"] == "auto"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("find-rate DATA --preset auto --steps 20", "network   auto, adamw, batches of 64"),
        ("profile auto DATA --steps 1", "network   auto, input 1x8x8"),
        ("search DATA --preset auto --epochs 1 --candidates 2 --folds 2", "0.0013"),
        ("search DATA --try preset=auto,mlp --epochs 1 --folds 2", "try       preset auto | mlp"),
    ],
)
def test_commands_make_it_for_their_data(
    capsys: pytest.CaptureFixture[str], stripes_file: Path, line: str, said: str
) -> None:
    assert cli.run(line.replace("DATA", str(stripes_file)).split()) in (0, 1)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert said in unfolded(shown.out)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        *(
            (
                f"{command} auto",
                "MODEL must be a file or a preset with a shape of its own, got auto, which is made"
                " for the shape of data: convprop train DATA --preset auto --out FILE makes such a"
                " file",
            )
            for command in ("summary", "check")
        ),
        (
            "profile auto",
            "DATA must be given with auto, which is made for the shape of the images, got none",
        ),
    ],
)
def test_without_data_the_error_has_the_cure(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert cli.run(line.split()) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_the_explorer_makes_it_for_the_digits_or_for_data(stripes_file: Path) -> None:
    for data, shape in ((None, (1, 8, 8)), (str(stripes_file), (1, 8, 8))):
        reading = None if data is None else Reading(data, None, False)
        net, images, optimizer = chosen("auto", reading, 0, Terminal())
        assert net.input_shape == images.image_shape == shape
        assert net.outputs == len(images.class_names)
        assert repr(net.layers) == repr(
            tuple(auto_layers(shape, net.outputs, dropout=len(images) > 64))
        )
        assert optimizer.kind == "adamw"
