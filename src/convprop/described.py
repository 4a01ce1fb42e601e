"""Values that are described by their fields, with a dict form for files.

Layers, losses, initialisers, optimizers and schedules are frozen dataclasses with a ``kind``.
``to_dict`` gives what a model file holds of one; ``from_dict`` builds it again from a fixed
table of classes, so that reading a file never evaluates or imports anything it names.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from convprop.arguments import check_names
from convprop.errors import InvalidInput, ModelFileError
from convprop.shown import brief


class _SignatureOfInit:
    """What a class takes is what its ``__init__`` does: `Described.__new__` tells nothing of it."""

    def __get__(self, _: object, cls: type) -> inspect.Signature:
        # Each of them is a dataclass with an __init__ of its own.
        whole = inspect.signature(cls.__init__)  # type: ignore[misc]
        return whole.replace(parameters=list(whole.parameters.values())[1:])


class Described:
    """Base of the frozen dataclasses that can be written to and read from a model file."""

    kind: ClassVar[str]

    positional: ClassVar[tuple[str, ...]] = ()
    """The fields that the repr shows without their names."""

    objects: ClassVar[tuple[str, ...]] = ()
    """The fields that may be objects in a file: mappings, which the class checks."""

    __signature__ = _SignatureOfInit()

    def __new__(cls, *_: Any, **options: Any) -> Self:
        if options:
            check_names(cls.__name__, options, inspect.signature(cls).parameters)
        return super().__new__(cls)

    def to_dict(self) -> dict[str, Any]:
        """Return ``kind`` and every field, defaults too: they may change, a file must not."""
        assert dataclasses.is_dataclass(self)
        description: dict[str, Any] = {"kind": self.kind}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            description[field.name] = value.to_dict() if isinstance(value, Described) else value
        return description

    def _given(self) -> list[tuple[str, Any]]:
        """Return the fields that have no default or differ from it."""
        assert dataclasses.is_dataclass(self)
        pairs = [(field, getattr(self, field.name)) for field in dataclasses.fields(self)]
        return [(field.name, value) for field, value in pairs if value != field.default]

    def __repr__(self) -> str:
        given = [
            _short(value) if name in self.positional else f"{name}={_short(value)}"
            for name, value in self._given()
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _set(self, **values: Any) -> None:
        """Replace fields by their checked and normalised values, in ``__post_init__`` only."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _short(value: object) -> str:
    """Return repr(value), sizes and paddings that are alike in both directions as one number."""
    if isinstance(value, tuple) and len(value) > 1:
        if len(set(value)) == 1:
            return repr(value[0])
        if len(value) == 4 and value[0] == value[1] and value[2] == value[3]:
            return repr(value[1:3])
    return repr(value)


T = TypeVar("T", bound=Described)


def table(*classes: type[T]) -> dict[str, type[T]]:
    """Return the classes by their ``kind``."""
    return {cls.kind: cls for cls in classes}


def from_dict(description: object, classes: Mapping[str, type[T]], what: str) -> T:
    """Build what ``description`` says, a class of the table ``classes`` only.

    Raises
    ------
    ModelFileError
        Not a dict with a known ``kind``, an unknown or missing field, or a value that the
        class refuses. ``what`` ("layer 3") begins the message.
    """
    if not isinstance(description, dict) or not isinstance(description.get("kind"), str):
        raise ModelFileError(f"{what} must be an object with a kind, got {brief(description)}")
    cls = classes.get(description["kind"])
    if cls is None:
        known = ", ".join(classes)
        raise ModelFileError(f"{what} must be one of {known}, got {brief(description['kind'])}")
    # Every kind is a dataclass; the base, and so the type, is not.
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    given = {name: value for name, value in description.items() if name != "kind"}
    unknown = [name for name in given if name not in fields]
    if unknown:
        raise ModelFileError(f"{what} ({cls.kind}) has an unknown field {brief(unknown[0])}")
    for name, value in given.items():
        if not (_is_plain(value) or (name in cls.objects and isinstance(value, dict))):
            rule = f"{name} must be a text, a number, true, false, null or a list of them"
            raise ModelFileError(f"{what} ({cls.kind}): {rule}, got {brief(value)}")
    for name, field in fields.items():
        if name not in given and field.default is dataclasses.MISSING:
            raise ModelFileError(f"{what} ({cls.kind}) lacks its field {name!r}")
    try:
        return cls(**given)
    except InvalidInput as error:
        raise ModelFileError(f"{what} ({cls.kind}): {error}") from None


def _is_plain(value: object) -> bool:
    """Whether a field may be given a value: hardly one expects an object, none a list in a list."""
    members = value if isinstance(value, list) else [value]
    return not any(isinstance(member, dict | list) for member in members)
