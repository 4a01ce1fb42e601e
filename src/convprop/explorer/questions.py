"""What a page can ask: each question's fields, checked, and who answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convprop.errors import invalid
from convprop.explorer import answers
from convprop.explorer.arithmetic import arithmetic
from convprop.explorer.session import Session, optimizer_named
from convprop.explorer.upload import decoded

Question = Callable[[Session, dict[str, Any]], dict[str, Any]]


def _maps(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    return answers.maps(session)


def _choose(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    session.choose(body.get("index"), body.get("label"))
    return answers.maps(session)


def _label(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    session.label_as(body.get("label"))
    return answers.maps(session)


def _draw(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    rows = body.get("pixels")
    try:
        with np.errstate(over="ignore"):
            pixels = np.array(rows, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        pixels = np.empty(0, np.float32)
    if pixels.ndim != 2 or not 1 <= pixels.size <= 128 * 128 or not np.isfinite(pixels).all():
        raise invalid("pixels", "be rows of at most 128 x 128 numbers of 0 ... 1", "others")
    session.draw(pixels[np.newaxis])
    return answers.maps(session)


def uploaded(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    """Take the picture in "bytes"."""
    channels, *size = session.net.input_shape
    session.draw(decoded(body["bytes"], channels, (size[0], size[1])))
    return answers.maps(session)


def _invert(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    session.invert()
    return answers.maps(session)


INDICES = {
    "output": (1, 3),
    "weight_gradient": (2, 4),
    "bias_gradient": (1, 1),
    "slope_gradient": (1, 1),
    "delta": (1, 3),
    "loss": (0, 0),
}
"""The fewest and the most indices of a number."""


def _explain(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    asked = session.explainer
    questions: dict[str, Callable[..., Any]] = {
        "output": asked.output,
        "weight_gradient": asked.weight_gradient,
        "bias_gradient": asked.bias_gradient,
        "slope_gradient": asked.slope_gradient,
        "delta": asked.delta,
        "loss": asked.loss,
    }
    number, at = body.get("number"), body.get("at", [])
    if not isinstance(number, str) or number not in questions:
        raise invalid("number", f"be one of {', '.join(questions)}", f"{number!r:.80}")
    least, most = INDICES[number]
    if not isinstance(at, list) or not least <= len(at) <= most:
        raise invalid("at", f"be a list of {least} to {most} indices", f"{at!r:.80}")
    layer = [] if number == "loss" else [body.get("layer")]
    which = {"of": body.get("of", 0)} if number == "delta" else {}
    return answers.explanation(questions[number](*layer, *at, **which))


def _routing(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    return answers.routing(session, body.get("layer"), body.get("channel"))


def _fields(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    pixel = body.get("pixel", [])
    if not isinstance(pixel, list) or len(pixel) not in (0, 2):
        raise invalid("pixel", "be a list of a row and a column, or empty", f"{pixel!r:.80}")
    return answers.fields(session, body.get("map"), pixel)


def _gallery(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    return answers.gallery(session, body.get("first"), body.get("label"))


def _arithmetic(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    return arithmetic(body)


def _equations(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    return answers.equations()


def _train(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    optimizer = optimizer_named(body.get("optimizer"), body.get("learning_rate"))
    losses = session.train(body.get("steps"), optimizer)
    return answers.maps(session) | {"losses": losses}


def _anew(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    session.start_anew()
    return answers.maps(session)


def _back(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    session.go_back(body.get("step"))
    return answers.maps(session)


QUESTIONS: dict[str, Question] = {
    "maps": _maps,
    "choose": _choose,
    "label": _label,
    "draw": _draw,
    "invert": _invert,
    "explain": _explain,
    "fields": _fields,
    "gallery": _gallery,
    "routing": _routing,
    "arithmetic": _arithmetic,
    "equations": _equations,
    "train": _train,
    "anew": _anew,
    "back": _back,
}
"""What a page can ask by POST, each with a JSON object, answered by another one."""
