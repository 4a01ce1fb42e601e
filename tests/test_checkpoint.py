"""Checkpoints: a training that was stopped anywhere ends as one that never was."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import convprop as cp
from convprop.errors import InvalidInput
from convprop.training import run
from convprop.training.checkpoint import CheckpointError, Checkpoints, read
from convprop.training.identity import identity
from refusal import refuses
from test_training import blobs, with_dropout
from test_training_options import EVERYTHING

OPTIONS = EVERYTHING | {"stopping": cp.EarlyStopping(30), "validation": 0.2}
OTHERS = [cp.SGD(0.05), cp.RMSprop(0.01), cp.Adadelta(1.0), cp.LARS(0.1), cp.LAMB(0.01)]
STEPS = 4 * 6  # of 120 images less a fifth, in batches of 16


def trained(path=None, *, stop=None, resume=False, **changes):
    """Train from scratch or from a checkpoint, up to the interrupt; return network and history."""
    images, labels = blobs(120)
    net = with_dropout()

    def on_batch(record):
        if record.step == stop:
            raise KeyboardInterrupt

    checkpoints = None if path is None else Checkpoints(path)
    options = OPTIONS | {"checkpoints": checkpoints, "resume": resume, "on_batch": on_batch}
    return net, cp.train(net, images, labels, **options | changes)


@pytest.fixture(scope="module")
def undisturbed():
    return trained()


@pytest.mark.parametrize("step", [1, 5, 6, 7, 12, 23, 24])
def test_a_resumed_training_ends_with_the_same_bits(step, undisturbed, tmp_path):
    path = tmp_path / "net.safetensors"
    _, history = trained(path, stop=step)
    assert history.interrupted
    assert [file.name for file in tmp_path.iterdir()] == [f"net.safetensors.checkpoint-{step:08d}"]
    net, history = trained(path, resume=True)
    whole, complete = undisturbed
    assert net.weights_sha256() == whole.weights_sha256()
    assert (history.resumed, history.steps, history.interrupted) == (step, STEPS, False)
    for found, wanted in zip(history, complete, strict=True):
        assert found[:5] == wanted[:5]
        assert found.learning_rate == wanted.learning_rate
    assert history.best_epoch == complete.best_epoch


@pytest.mark.parametrize("optimizer", OTHERS, ids=repr)
def test_every_optimizer_resumes(optimizer, tmp_path):
    changes = {"optimizer": optimizer, "stopping": None, "average": None}
    whole, _ = trained(**changes)
    trained(tmp_path / "net", stop=9, **changes)
    net, _ = trained(tmp_path / "net", resume=True, **changes)
    assert net.weights_sha256() == whole.weights_sha256()


def test_a_training_interrupted_again_and_again(undisturbed, tmp_path):
    for step in range(1, STEPS, 2):
        trained(tmp_path / "net", stop=step, resume=step > 1)
        assert len(list(tmp_path.iterdir())) <= 2
    net, _ = trained(tmp_path / "net", resume=True)
    assert net.weights_sha256() == undisturbed[0].weights_sha256()


def test_one_of_before_there_were_some_settings_is_gone_on_from(undisturbed, tmp_path, monkeypatch):
    def older(*given):
        parts = identity(*given)
        for described in (*parts["layers"], parts["settings"]["optimizer"]):
            for name in ("trainable", "rate_factors", "decay_factors"):
                described.pop(name, None)
        del parts["settings"]["lookahead"]
        return parts

    path = tmp_path / "net"
    with monkeypatch.context() as before:
        before.setattr(run, "identity", older)
        trained(path, stop=9)
    net, history = trained(path, resume=True)
    assert history.resumed == 9
    assert net.weights_sha256() == undisturbed[0].weights_sha256()


def test_an_early_stopping_stays_stopped(tmp_path):
    images, labels = blobs()
    options = {
        "validation": (images, (labels + 1) % 3),
        "stopping": cp.EarlyStopping(2),
        "epochs": 30,
        "checkpoints": Checkpoints(tmp_path / "net", epochs=1),
    }
    net, again = with_dropout(), with_dropout()
    history = cp.train(net, images, labels, **options)
    repeated = cp.train(again, images, labels, resume=True, **options)
    assert repeated == history
    assert repeated.stopped
    assert again.weights_sha256() == net.weights_sha256()


def test_checkpoints_come_when_they_are_due(tmp_path):
    seen = []

    def on_epoch(_):
        seen.append(sorted(int(file.name[-8:]) for file in tmp_path.iterdir()))

    path = tmp_path / "net"
    trained(checkpoints=Checkpoints(path, epochs=1), on_epoch=on_epoch)
    # An epoch's checkpoint is written after the hook; two are kept.
    assert seen == [[], [6], [6, 12], [12, 18]]
    for file in tmp_path.iterdir():
        file.unlink()
    trained(checkpoints=Checkpoints(path, seconds=1e-9))
    assert sorted(int(file.name[-8:]) for file in tmp_path.iterdir()) == [23, 24]
    Checkpoints(path).remove()
    assert not list(tmp_path.iterdir())


def test_no_checkpoint_means_the_start(undisturbed, tmp_path):
    net, history = trained(tmp_path / "net", resume=True)
    assert (history.resumed, history.passed_over) == (0, [])
    assert net.weights_sha256() == undisturbed[0].weights_sha256()


def test_the_start_is_told_where_it_is(tmp_path):
    seen = []

    def on_start(history):
        seen.append((history.steps, history.resumed, len(history), history.resumed_from))

    path = tmp_path / "net"
    trained(path, stop=8, resume=True, on_start=on_start)
    trained(path, resume=True, on_start=on_start)
    assert seen == [(0, 0, 0, None), (8, 8, 1, tmp_path / "net.checkpoint-00000008")]
    with refuses(InvalidInput, "on_start must be None or callable, got 3"):
        trained(path, on_start=3)


def test_another_trainings_checkpoints_are_neither_taken_nor_removed(tmp_path):
    path = tmp_path / "net"
    trained(path, stop=20)
    with refuses(
        InvalidInput,
        "checkpoints must be of no other training (resume=True goes on with it, remove() gives it"
        f" up), got {path}.checkpoint-00000020",
    ):
        trained(path)
    assert [file.name[-8:] for file in Checkpoints(path).files()] == ["00000020"]
    Checkpoints(path).remove()
    trained(path, stop=6)


def test_newer_checkpoints_that_are_damaged_go_with_the_next_one(tmp_path):
    path = tmp_path / "net"
    trained(path, stop=9)
    trained(path, stop=20, resume=True)
    damage(Checkpoints(path).files()[0], "cut")
    trained(path, stop=12, resume=True)
    assert [file.name[-8:] for file in Checkpoints(path).files()] == ["00000012", "00000009"]


def test_a_folder_that_is_missing_is_found_before_any_work(tmp_path):
    net, (images, labels) = with_dropout(), blobs()
    before = net.weights_sha256()
    with refuses(
        InvalidInput,
        "path must name a file that can be written, got"
        f" {tmp_path}/none/net.checkpoint-00000000 (no such file or directory)",
    ):
        cp.train(net, images, labels, checkpoints=Checkpoints(tmp_path / "none" / "net"))
    assert net.weights_sha256() == before


@pytest.mark.filterwarnings("ignore::convprop.RangeWarning")
def test_an_infinite_validation_loss_is_kept(tmp_path):
    net = cp.Network([cp.Dense(1)], (1, 6, 6), cp.SquaredError())
    images, targets = blobs()[0].astype(np.float32), np.zeros((40, 1))
    far = np.full((2, 1, 6, 6), 3e38, np.float32), np.zeros((2, 1))
    options = {"epochs": 2, "validation": far, "stopping": cp.EarlyStopping()}
    checkpoints = Checkpoints(tmp_path / "net", epochs=1)
    with np.errstate(over="ignore"):
        history = cp.train(net, images, targets, checkpoints=checkpoints, **options)
        again = cp.train(net, images, targets, checkpoints=checkpoints, resume=True, **options)
    assert [record.validation_loss for record in history] == [np.inf, np.inf]
    assert again == history


# ---- Files that are not what was written ----


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut":
        del content[len(content) // 2 :]
    elif how == "empty":
        content.clear()
    elif how == "one bit":
        content[-100] ^= 1
    elif how == "one bit of the header":
        content[content.index(b'"steps') + 20] ^= 1
    elif how == "grown":
        content += b"\0" * 8
    else:
        content[:] = b"no checkpoint at all, but long enough for a header"
    path.write_bytes(content)


HARMS = ["cut", "empty", "one bit", "one bit of the header", "grown", "foreign"]


@pytest.mark.parametrize("how", HARMS)
def test_the_last_good_checkpoint_is_taken(how, undisturbed, tmp_path):
    path = tmp_path / "net"
    trained(path, stop=9)
    trained(path, stop=15, resume=True)
    newest, older = Checkpoints(path).files()
    damage(newest, how)
    with pytest.raises(CheckpointError, match="checkpoint-00000015: "):
        read(newest)
    read(older)
    net, history = trained(path, resume=True)
    assert history.resumed == 9
    assert len(history.passed_over) == 1
    assert history.passed_over[0].startswith(f"{newest}: ")
    assert net.weights_sha256() == undisturbed[0].weights_sha256()


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"batch_size": 8}, ", which had batch_size=16, got batch_size=8"),
        ({"optimizer": cp.SGD(0.1)}, ", which had optimizer=AdamW(0.01), got optimizer=SGD(0.1)"),
        ({"clip_norm": None}, ", which had clip_norm=0.5, got clip_norm=None"),
        ({"seed": 4}, ", which had seed=1, got seed=4"),
        (
            {"validation": None, "stopping": None},
            ", which had stopping=EarlyStopping(patience=30), got stopping=None",
        ),
        (
            {"augment": cp.Augment(shift=3)},
            ", which had augment=Augment(shift=1, flip='both', rotation=20.0, noise=0.1, erase=0.3,"
            " mixup=0.4), got augment=Augment(shift=3)",
        ),
        ({"validation": 0.3}, ", got other images, labels or weights"),
    ],
)
def test_another_training_is_refused(changes, received, tmp_path):
    trained(tmp_path / "net", stop=9)
    with pytest.raises(InvalidInput) as caught:
        trained(tmp_path / "net", resume=True, **changes)
    name = f"{tmp_path}/net.checkpoint-00000009"
    rule = f"resume must go on with the training of {name}"
    assert str(caught.value) == rule + received


def test_other_data_are_refused(tmp_path):
    images, labels = blobs(120)
    net = with_dropout()
    checkpoints = Checkpoints(tmp_path / "net", epochs=1)
    cp.train(net, images, labels, epochs=1, checkpoints=checkpoints)
    labels[7] = (labels[7] + 1) % 3
    with pytest.raises(InvalidInput, match=r", got other images, labels or weights$"):
        cp.train(with_dropout(), images, labels, epochs=1, checkpoints=checkpoints, resume=True)


def test_names_that_look_like_patterns(tmp_path):
    checkpoints = Checkpoints(tmp_path / "net[1]*?.safetensors", epochs=1)
    images, labels = blobs(30)
    cp.train(with_dropout(), images, labels, epochs=1, checkpoints=checkpoints)
    assert len(checkpoints.files()) == 1
    (tmp_path / "net1.safetensors.checkpoint-00000001").touch()
    assert len(checkpoints.files()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": 3}, "path must be a path, got 3"),
        ({"path": "net", "seconds": 0}, "seconds must be a positive number, got 0"),
        ({"path": "net", "epochs": 1.5}, "epochs must be a positive integer, got 1.5"),
    ],
)
def test_what_checkpoints_refuse(options, message):
    with refuses(InvalidInput, message):
        Checkpoints(**options)


# ---- Processes that end badly ----

PROGRAM = """
import sys
import convprop as cp
from test_checkpoint import OPTIONS
from test_training import blobs, with_dropout

seconds, epochs = float(sys.argv[2]), int(sys.argv[3])
images, labels = blobs(120)
net = with_dropout()
history = cp.train(
    net, images, labels, **OPTIONS | {"epochs": epochs, "stopping": None},
    checkpoints=cp.Checkpoints(sys.argv[1], seconds=seconds), resume=True,
)
print(history.resumed, len(history.passed_over), history.interrupted, net.weights_sha256())
"""


def process(path: Path, seconds: float, epochs: int, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, str(path), str(seconds), str(epochs)]
    return subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_killed_processes_leave_only_whole_checkpoints(tmp_path):
    path, epochs = tmp_path / "net", 300
    whole = process(tmp_path / "whole", 1e9, epochs).communicate()[0].split()[-1]
    random = np.random.default_rng(11)
    killed = 0
    for _ in range(6):
        child = process(path, 0.002, epochs)
        while child.poll() is None and not Checkpoints(path).files():
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.25))
        killed += child.poll() is None
        child.kill()
        child.communicate()
        for file in Checkpoints(path).files():
            read(file)
    assert killed >= 3
    output, errors = process(path, 1e9, epochs).communicate()
    assert errors == ""
    resumed, passed_over, interrupted, found = output.split()
    assert int(resumed) > 0
    assert (passed_over, interrupted, found) == ("0", "False", whole)
    # What a killed process leaves half written the next one that writes there removes.
    assert len(list(tmp_path.glob(".*.tmp"))) <= 1


@pytest.mark.slow
def test_ctrl_c_writes_a_checkpoint_between_two_steps(tmp_path):
    path, epochs = tmp_path / "net", 300
    whole = process(tmp_path / "whole", 1e9, epochs).communicate()[0].split()[-1]
    child = process(path, 0.05, epochs)
    while not Checkpoints(path).files():
        time.sleep(0.001)
    child.send_signal(signal.SIGINT)
    output, errors = child.communicate()
    assert errors == ""
    assert output.split()[2] == "True"
    assert process(path, 1e9, epochs).communicate()[0].split()[-1] == whole


# ---- Disks that are full ----


def largest_file(size: int):
    """Return what makes longer writes of a child process fail, as on a full disk."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_a_full_disk_does_not_end_the_training(tmp_path):
    path = tmp_path / "net"
    whole, _ = trained(stopping=None)
    trained(path, stop=9, stopping=None)
    (before,) = Checkpoints(path).files()
    content = before.read_bytes()
    child = process(path, 1e-9, 4, preexec_fn=largest_file(len(content) // 2))
    output, errors = child.communicate()
    assert child.returncode == 0
    for step in (10, STEPS):
        assert (
            f"CheckpointWarning: no checkpoint after {step} steps: cannot write"
            f" {path}.checkpoint-{step:08d} (file too large); the last one is {before}\n"
        ) in errors
    assert output.split()[-1] == whole.weights_sha256()
    assert list(tmp_path.iterdir()) == [before]
    assert before.read_bytes() == content


def test_a_failing_flush_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "net"
    trained(path, stop=9)
    (before,) = Checkpoints(path).files()
    content = before.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(cp.CheckpointWarning, match=r"00000015 \(no space left on device\)"):
        _, history = trained(path, stop=15, resume=True)
    assert (history.interrupted, history.steps) == (True, 15)
    assert list(tmp_path.iterdir()) == [before]
    assert before.read_bytes() == content


def test_after_a_checkpoint_that_failed_the_next_is_tried(tmp_path, monkeypatch):
    path, flush, flushes = tmp_path / "net", os.fsync, iter(range(100))

    def second_fails(descriptor: int) -> None:
        # Of each checkpoint a file is flushed, and then its folder.
        if next(flushes) == 2:
            raise OSError(5, "Input/output error")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", second_fails)
    net = with_dropout()
    images, labels = blobs(120)
    often = Checkpoints(path, epochs=1)
    with pytest.warns(cp.CheckpointWarning, match=r"after 16 steps: .* is .*-00000008$"):
        cp.train(net, images, labels, epochs=4, batch_size=16, checkpoints=often)
    assert [int(file.name[-8:]) for file in often.files()] == [32, 24]
