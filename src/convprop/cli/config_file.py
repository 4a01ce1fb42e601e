"""Settings in TOML files: what ``--config`` reads, and what a training leaves beside its model."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclopts import App, ArgumentCollection, Token

from convprop.cli.options import UsageError, unknown_name
from convprop.errors import invalid
from convprop.shown import printable

RESULT = "result"
"""The table that tells what came of a training; it sets nothing."""


def read_config(_: App, __: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give the options that the command line leaves open the values of ``--config``'s file."""
    options = {_key(argument.name): argument for argument in arguments if argument.name != "*"}
    config = options.pop("config", None)
    if config is None or not config.tokens or not config.tokens[0].value:
        return
    path = Path(config.tokens[0].value)
    seen = set()
    for written, value in read_settings(path)[0].items():
        key = _key(written)
        if key not in options:
            raise UsageError(unknown_name(str(path), "set only", options, written))
        if key in seen:
            raise UsageError(str(invalid(str(path), f"set {key} once", f"{written} too")))
        seen.add(key)
        token = _token(written, value, options[key].hint is bool, path)
        if token is not None and not options[key].tokens:
            options[key].append(token)


def _key(name: str) -> str:
    return name.removeprefix("--").replace("-", "_").lower()


def _token(key: str, value: Any, is_flag: bool, path: Path) -> Token | None:
    """Return a value as if it came from the command line; None for what leaves it as it is."""
    name = f"{key} in {path}"
    if is_flag:
        if not isinstance(value, bool):
            raise UsageError(str(invalid(name, "be true or false", repr(value))))
        return Token(keyword=key, implicit_value=True, source=str(path)) if value else None
    if key == "augment" and isinstance(value, dict):
        text = " ".join(f"{field}={_text(member)}" for field, member in value.items())
        return Token(keyword=key, value=text, source=str(path)) if text else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        received = _text(value) if isinstance(value, bool) else repr(value)
        raise UsageError(str(invalid(name, "be a text or a number", received)))
    if "\0" in (text := str(value)):
        # The command line cannot have one, and no file's name can.
        raise UsageError(str(invalid(name, "have no null character", repr(text))))
    return Token(keyword=key, value=text, source=str(path))


def _text(value: Any) -> str:
    """Return a value as it would be in an option: "2x3" for [2, 3]."""
    if isinstance(value, list):
        return "x".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_settings(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a TOML file's settings, and its table of what came of them.

    Raises
    ------
    UsageError
        It is not TOML, or a folder, a device or a named pipe: that could be read without end.
    OSError
        It cannot be read.
    """
    # What a shell redirects or substitutes has its name there: /dev/stdin, /proc/self/fd/11.
    piped = path.is_fifo() and (path.is_relative_to("/dev") or path.is_relative_to("/proc"))
    if path.exists() and not (path.is_file() or piped):
        raise UsageError(str(invalid(str(path), "be a file", "a folder, a device or a named pipe")))
    try:
        # Some editors begin a file with a byte order mark.
        settings = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a TOML file ({error})") from None
    result = settings.pop(RESULT, {})
    return settings, result if isinstance(result, dict) else {}


def to_toml(settings: Mapping[str, Any], comment: str) -> str:
    """Return settings as TOML: numbers, texts, True and False, and tables of these."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    lines = [f"# {printable(line)}".rstrip() for line in comment.split("\n")]
    lines += ["", *_pairs(plain)]
    for name, value in settings.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_pairs(value)]
    return "\n".join(lines) + "\n"


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in values.items()]


def _value(value: bool | int | float | str) -> str:
    # JSON's literals are TOML's too, but for the character DEL.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
