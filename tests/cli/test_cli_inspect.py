"""`convprop inspect`."""

import json
from pathlib import Path

import numpy as np
import pytest
from runs import assert_fits, run, unfolded
from safetensors.numpy import save_file

import convprop as cp
from convprop.cli import app as cli


def test_inspect_shows_what_is_in_a_model(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert cli.run(["inspect", str(model)]) == 0
    shown = capsys.readouterr().out
    assert_fits(shown.partition("\n")[2])
    network = cp.load(model)
    assert shown.startswith(
        f"file      {model}\nkind      a model file, {model.stat().st_size:,} B\n"
    )
    assert f"written   by convprop {cp.__version__}, format version 1\n" in shown
    assert (
        f"classes   lying, standing\nseed      {network.seed}\ntraining  preset digits, " in shown
    )
    assert "optimizer adamw (learning rate 0.00282842" in unfolded(shown)
    assert f"weights   {network.weights_sha256()}\n" in shown
    assert "conv1.weight   F32   32x1x3x3    1,152 B\n" in shown

    assert cli.run(["inspect", str(model), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kind"], record["faults"]) == ("model", [])
    assert record["weights_sha256"] == network.weights_sha256()
    assert record["parameters"] == sum(array.size for array in network.parameters.values())
    assert [row["name"] for row in record["layers"]] == list(network.names)
    assert {t["name"]: tuple(t["shape"]) for t in record["tensors"]} == {
        name: array.shape for name, array in network.parameters.items()
    }


def test_inspect_shows_a_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    net = cp.Network([cp.Dense(2)], (1, 2, 2))
    checkpoints = cp.Checkpoints(tmp_path / "net", epochs=1)
    images = np.arange(32, dtype=np.uint8).reshape(8, 1, 2, 2)
    cp.train(net, images, np.arange(8) % 2, epochs=3, checkpoints=checkpoints)
    assert cli.run(["inspect", str(checkpoints.files()[0])]) == 0
    shown = capsys.readouterr().out
    assert_fits(shown.partition("\n")[2])
    assert "\nkind      a checkpoint of a training, " in shown
    assert "\nwritten   after 3 steps, in epoch 4, last epoch: loss " in shown
    assert f"weights   {net.weights_sha256()}\n" in shown


def test_inspect_of_a_faulty_file_fails_and_commands_no_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(model.read_bytes()[:-10])
    assert cli.run(["inspect", str(path)]) == 1
    assert "\nfault     cut off: 10 of " in capsys.readouterr().out
    save_file({f"\x1b[31m{n}": np.zeros(3, np.int16) for n in range(9)}, path)
    assert cli.run(["inspect", str(path)]) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[31m0  I16      3   6 B" in shown
    result = run("inspect", "README.md")
    assert (result.returncode, result.stdout) == (1, "")
