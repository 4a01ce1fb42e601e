"""`--augment`: what its words mean, and what they are refused with."""

import cyclopts
import pytest

from convprop import Augment
from convprop.cli.augment_option import NAMES, AugmentOption, augment_text, read_augment
from convprop.cli.options import UsageError
from refusal import refuses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shift=2", Augment(shift=2)),
        ("shift=2x3", Augment(shift=(2, 3))),
        ("shift=2 rotation=10 flip=horizontal", Augment(shift=2, rotation=10, flip="horizontal")),
        (" zoom=.1,crop=0.9 , noise=1e-1,", Augment(zoom=0.1, crop=0.9, noise=0.1)),
        ("elastic=1.5,brightness=0.2", Augment(elastic=1.5, brightness=0.2)),
        ("contrast=0.25 erase=1 mixup=0.4", Augment(contrast=0.25, erase=1, mixup=0.4)),
    ],
)
def test_settings_are_read_and_written_again(text: str, expected: Augment) -> None:
    assert read_augment(text) == expected
    assert read_augment(augment_text(expected)) == expected


def test_the_text_is_short() -> None:
    assert augment_text(Augment(shift=2, rotation=10, crop=0.9)) == "shift=2 rotation=10 crop=0.9"
    assert augment_text(Augment(shift=(0, 3), zoom=0.1)) == "shift=0x3 zoom=0.1"
    assert augment_text(Augment()) == ""


ALL = ", ".join(NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--augment must be settings as in \"shift=2 rotation=10\", got ''"),
        (" ,", '--augment must be settings as in "shift=2 rotation=10", got  ,'),
        ("shfit=2", f"--augment must set one of {ALL}, got shfit; did you mean shift?"),
        ("=2", f"--augment must set one of {ALL}, got "),
        ("shift", "--augment must give shift a value, shift=..., got shift"),
        ("zoom=", "--augment must give zoom a value, zoom=..., got zoom="),
        ("zoom=1 zoom=1", "--augment must set zoom once, got zoom=1 zoom=1"),
        (
            "shift=-1",
            "--augment: shift must be an integer of at least 0, or two of them, got '-1'",
        ),
        (
            "shift=2x",
            "--augment: shift must be an integer of at least 0, or two of them, got '2x'",
        ),
        ("zoom=big", "--augment: zoom must be a number with 0 <= value <= 1000, got 'big'"),
        ("zoom=nan", "--augment: zoom must be a number with 0 <= value <= 1000, got nan"),
        (
            "flip=horizontaly",
            "--augment: flip must be one of none, horizontal, vertical, both,"
            " got horizontaly; did you mean horizontal?",
        ),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with refuses(UsageError, message):
        read_augment(text)


def test_as_an_option_of_a_command() -> None:
    def command(*, augment: AugmentOption = None) -> Augment | None:
        return augment

    app = cyclopts.App(result_action="return_value")
    app.default(command)
    assert app([]) is None
    assert app(["--augment", "shift=2x3 zoom=0.5"]) == Augment(shift=(2, 3), zoom=0.5)
    assert app(["--augment=flip=both"]) == Augment(flip="both")
