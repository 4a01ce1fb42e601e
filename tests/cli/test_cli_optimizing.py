"""What `convprop train` is told of single parameters, slow weights and parts of batches."""

from pathlib import Path

import pytest
from test_cli_config import trained

from convprop.cli.factors_option import read_factors
from convprop.cli.lookahead_option import lookahead_text, read_lookahead
from convprop.cli.options import UsageError
from convprop.training.lookahead import Lookahead
from refusal import refuses


def test_a_batch_in_parts_has_the_same_weights(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    options = (stripes_file, "--epochs", "2", "--batch-size", "40")
    whole = trained(capsys, *options)
    out = tmp_path / "net"
    parts = trained(capsys, *options, "--micro-batch", "16", "--out", out)
    assert parts["weights_sha256"] == whole["weights_sha256"]
    # It says how, and not what.
    assert "micro" not in Path(f"{out}.toml").read_text()


@pytest.mark.parametrize(
    ("text", "name", "factors"),
    [
        ("bias=64 conv*=0.5", "rate_factors", {"bias": 64.0, "conv*": 0.5}),
        ("bias=0", "decay_factors", {"bias": 0.0}),
        ("weights", "decay_factors", "weights"),
    ],
)
def test_factors_are_read(text: str, name: str, factors: object) -> None:
    assert read_factors(text, name, "--factors") == factors


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "rate_factors", "--x must be as in \"bias=2 conv*=0.5\", got ''"),
        ("bias=", "rate_factors", "--x must give bias a value, bias=..., got bias="),
        ("bias=1 bias=2", "rate_factors", "--x must set bias once, got bias=1 bias=2"),
        ("bias=two", "rate_factors", "--x bias must be a number, got two"),
        ("bias=0", "rate_factors", "--x['bias'] must be a positive number, got 0.0"),
        ("bias=nan", "decay_factors", "--x['bias'] must be a number of at least 0, got nan"),
        (
            "weights",
            "rate_factors",
            "--x must be None or numbers by name, as in {'bias': 2}, got 'weights'",
        ),
    ],
)
def test_factors_are_refused(text: str, name: str, message: str) -> None:
    with refuses(UsageError, message):
        read_factors(text, name, "--x")


def test_slow_weights_are_read_and_written() -> None:
    for text, made in (("steps=3", Lookahead(3)), ("share=0.25 steps=7", Lookahead(7, 0.25))):
        assert read_lookahead(text) == made
        assert read_lookahead(lookahead_text(made)) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--lookahead must be settings as in \"steps=5 share=0.5\", got ''"),
        ("steps=0", "--lookahead: steps must be a positive integer, got 0"),
        ("steps=two", "--lookahead: steps must be a positive integer, got 'two'"),
        ("share=2", "--lookahead: share must be a number above 0 and at most 1, got 2.0"),
        ("k=5", "--lookahead must set one of steps, share, got k"),
    ],
)
def test_slow_weights_are_refused(text: str, message: str) -> None:
    with refuses(UsageError, message):
        read_lookahead(text)
