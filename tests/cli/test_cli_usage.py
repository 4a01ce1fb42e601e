"""Help, wrong usage and failures: every message word by word, and the exit statuses."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import assert_fits, run

import convprop as cp
from convprop import _cpu, presets
from convprop.cli import app as cli
from convprop.cli import train as train_command


def test_version_is_printed_by_the_installed_script() -> None:
    script = Path(sys.executable).with_name("convprop")
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"convprop {cp.__version__}\n"


def word(command: Callable[..., object]) -> str:
    """Return what a command is called on the command line."""
    return command.__name__.replace("_", "-")


@pytest.mark.parametrize("command", ["", *map(word, cli.COMMANDS)])
def test_help_fits_and_ends_with_an_example_that_is_understood(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert cli.run([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert_fits(shown)
    example = re.search(r"^Example: convprop (.+)$", shown, re.M)
    assert example
    cli.build_app().parse_args(example[1].split())


SEE = "\nSee 'convprop {} --help'.\n"
OPTIMIZERS = "sgd, adam, adamw, rmsprop, adadelta, lars, lamb"
PRESETS = ", ".join(presets.NAMES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "train --preset lenet",
            f"--preset must be one of auto, {PRESETS}, got lenet; did you mean lenet5?",
        ),
        (
            "train --optimizer adan",
            f"--optimizer must be one of {OPTIMIZERS}, got adan; did you mean adam?",
        ),
        ("train --optimizer x", f"--optimizer must be one of {OPTIMIZERS}, got x"),
        ("train --epochs 0", "--epochs must be a whole number of at least 1, got 0"),
        ("train --epochs 1.5", "--epochs must be a whole number of at least 1, got 1.5"),
        ("train --epochs none", "--epochs must be a whole number of at least 1, got none"),
        ("train --batch-size -3", "--batch-size must be a whole number of at least 1, got -3"),
        (
            "train --epochs 99999999999999999999999",
            "--epochs must be at most 2147483647, got 99999999999999999999999",
        ),
        (
            f"train --epochs {'9' * 9999}",
            f"--epochs must be at most 2147483647, got {'9' * 420}... (9,499 more characters)"
            f" ...{'9' * 80}",
        ),
        (
            "train --batch-size 2147483648",
            "--batch-size must be at most 2147483647, got 2147483648",
        ),
        ("train --threads x", "--threads must be a whole number from 1 to 1024, got x"),
        ("train --threads 0", "--threads must be a whole number from 1 to 1024, got 0"),
        ("train --threads 1025", "--threads must be a whole number from 1 to 1024, got 1025"),
        ("train --threads 100000", "--threads must be a whole number from 1 to 1024, got 100000"),
        ("evaluate m d --threads 0", "--threads must be a whole number from 1 to 1024, got 0"),
        ("predict m f --threads 1.5", "--threads must be a whole number from 1 to 1024, got 1.5"),
        ("train --seed -1", "--seed must be a whole number from 0 to 2**64 - 1, got -1"),
        ("train --learning-rate fast", "--learning-rate must be a finite number above 0, got fast"),
        ("train --learning-rate nan", "--learning-rate must be a finite number above 0, got nan"),
        ("train --learning-rate 0", "--learning-rate must be a finite number above 0, got 0"),
        ("train --validation 1", "--validation must be a number above 0 and below 1, got 1"),
        (
            "train --size 0x32",
            "--size must be a number of pixels from 1 to 99999, or rows and columns as in 32x48,"
            " got 0x32",
        ),
        (
            "show --size 32x100000",
            "--size must be a number of pixels from 1 to 99999, or rows and columns as in 32x48,"
            " got 32x100000",
        ),
        *(
            (
                f"train --out x --checkpoint-every {every}",
                "--checkpoint-every must be a time or a number of epochs, as in 30s, 5m, 2h or"
                f" 3epochs, at most 999999 of them, got {every}",
            )
            for every in ("1000000s", "1000000epochs", "0m")
        ),
        ("train --epochs", "--epochs must have a value, got none"),
        ("train --optimiser sgd", "Unknown option: --optimiser. Did you mean --optimizer?"),
        ("train --bogus 1", "Unknown option: --bogus."),
        (
            "search digits --batch-size 16",
            "Unknown option: --batch-size. Did you mean --try batch_size=VALUE,...?",
        ),
        ("train digits mnist", "one argument too many: mnist"),
        ("predict model.safetensors", "FILES must be given, got none"),
        ("evaluate model.safetensors", "DATA must be given, got none"),
        (
            "evaluate m d --part al",
            "--part must be one of all, test, train, got al; did you mean all?",
        ),
        ("summary", "MODEL must be given, got none"),
        ("train ''", "DATA must not be empty, got ''"),
        ("train --out ''", "--out must not be empty, got ''"),
        ("train --out=", "--out must not be empty, got ''"),
        ("predict '' x.png", "MODEL must not be empty, got ''"),
        ("predict model ''", "FILES must not be empty, got ''"),
        ("predict model x.png '' y.png", "FILES must not be empty, got ''"),
        ("evaluate '' digits", "MODEL must not be empty, got ''"),
        ("evaluate model ''", "DATA must not be empty, got ''"),
        ("summary ''", "MODEL must not be empty, got ''"),
        ("check ''", "MODEL must not be empty, got ''"),
    ],
)
def test_wrong_usage_is_said_in_one_line_with_status_2(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert cli.run(shlex.split(line)) == 2
    assert capsys.readouterr() == ("", f"error: {message}{SEE.format(line.split()[0])}")


def test_an_unknown_command_or_name_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["trian"]) == 2
    assert capsys.readouterr().err == (
        "error: Unknown command: trian. Did you mean train? Commands:"
        f" {', '.join(map(word, cli.COMMANDS))}.\nSee 'convprop --help'.\n"
    )
    for command in ("summary", "check"):
        assert cli.run([command, "vgg"]) == 2
        assert capsys.readouterr().err == (
            f"error: MODEL must be a file or one of {PRESETS}, got vgg; did you mean vgg-small?\n"
        )
    assert cli.run(["predict", "model", "file", "--json", "--csv"]) == 2
    assert capsys.readouterr().err == "error: --json must not come with --csv\n"


def test_an_output_that_cannot_be_written_is_found_before_anything_else(tmp_path: Path) -> None:
    out = tmp_path / "missing" / "model.safetensors"
    result = run("train", "no-such-data", "--out", out)
    message = f"--out must name a file that can be written, got {out} (no such file or directory)"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {message}\n"


def test_a_failure_is_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    missing, torn = tmp_path / "missing.safetensors", tmp_path / "torn.safetensors"
    torn.write_bytes(model.read_bytes()[:-10])
    for arguments, message in (
        (("summary", missing), f"{missing}: No such file or directory"),
        (("predict", missing, "x.png"), f"{missing}: No such file or directory"),
        (
            ("train", "no-data"),
            "data must be 'digits', 'mnist', a folder or an .npz file,"
            " got 'no-data' (which does not exist)",
        ),
        (("predict", model, "x.png"), "x.png must be a file or a folder, got neither"),
    ):
        assert cli.run([*map(str, arguments)]) == 1
        assert capsys.readouterr() == ("", f"error: {message}\n")
    assert cli.run(["evaluate", str(torn), "digits"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"error: {torn}: cut off")


def test_a_preset_that_is_too_large_for_the_images_says_so(
    capsys: pytest.CaptureFixture[str], stripes_file: Path
) -> None:
    assert cli.run(["train", str(stripes_file), "--preset", "lenet5"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    rule = "error: images must be at least 12x12 for the preset lenet5, got 8x8 ("
    assert shown.err.startswith(rule)
    assert "input 1x8x8 -> conv1 6x8x8 -> " in shown.err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory (4.2 GB are free)"),
        (
            MemoryError("Unable to allocate 3 TiB"),
            "not enough memory: Unable to allocate 3 TiB (4.2 GB are free)",
        ),
        (PermissionError(13, "Permission denied", "/data"), "/data: Permission denied"),
        (OSError("odd"), "odd"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(train_command, "load", refuse)
    monkeypatch.setattr(cli, "free_memory", lambda: 4_210_000_000)
    assert cli.run(["train"]) == 1
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_what_does_not_fit_in_memory_is_said_with_both_sizes() -> None:
    # A limit on the address space, in kilobytes.
    limited = "ulimit -v 4000000;"
    result = run("profile", "lenet5", "--batch-size", "2000000000", shell=limited)
    assert (result.returncode, result.stdout) == (1, "")
    found = re.fullmatch(
        r"error: not enough memory: a batch of 2,000,000,000 images takes ([\d,.]+) GB"
        r" \(([\d.]+) GB are free\)\n",
        result.stderr,
    )
    assert found, result.stderr
    asked, free = (float(number.replace(",", "")) for number in found.groups())
    net = cp.preset("lenet5", (1, 28, 28), 10)
    each = (net.plan_bytes("train", 4096) - net.plan_bytes("train", 2048)) / 2048
    assert asked == pytest.approx(2 * each, rel=0.01)
    assert 0 < free < 4.1


@pytest.mark.parametrize(
    "line",
    [
        "check",
        *(
            pytest.param(line, marks=pytest.mark.slow)
            for line in ("train --epochs 1", "summary lenet5")
        ),
    ],
)
def test_a_wrong_instruction_set_is_one_line(line: str) -> None:
    result = run(*line.split(), env=os.environ | {"CONVPROP_ISA": "bogus"})
    supported = ", ".join(_cpu.supported_isas())
    message = f"CONVPROP_ISA must be one of {supported} on this machine, got bogus"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {message}\n"


def test_help_needs_neither_instruction_set_nor_threads() -> None:
    environment = os.environ | {"CONVPROP_ISA": "bogus", "CONVPROP_NUM_THREADS": "all"}
    assert run("train", "--help", env=environment).returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "check",
        *(
            pytest.param(line, marks=pytest.mark.slow)
            for line in ("train --epochs 1", "summary lenet5")
        ),
    ],
)
def test_a_wrong_number_of_threads_in_the_environment_is_one_line(line: str) -> None:
    environment = os.environ | {"CONVPROP_NUM_THREADS": "all"}
    result = run(*line.split(), env=environment)
    message = "CONVPROP_NUM_THREADS must be a whole number from 1 to 1024, got all"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {message}\n"


def test_an_error_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(train_command, "load", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["train"])
