"""Arguments of a name that there is not are answered with the names that there are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from convprop.errors import UnknownArgument, invalid

Function = TypeVar("Function", bound=Callable[..., Any])


def check_names(of: str, given: Iterable[str], known: Mapping[str, inspect.Parameter]) -> None:
    """Raise UnknownArgument for the first name that is not among those known.

    Parameters
    ----------
    of : str
        Whose arguments they are, for the message.
    given : iterable of str
    known : mapping
        The parameters of a signature.
    """
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    names = [name for name in known if name not in ("self", "cls")]
    for name in given:
        if name not in names:
            rule = f"be among {', '.join(names)}" if names else "be left out"
            error = invalid(f"arguments of {of}", rule, f"{name!r}{nearest(name, names)}")
            raise UnknownArgument(str(error))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'padding'?)", or nothing where no name is like the one given."""
    import difflib

    found = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def checks_names(function: Function) -> Function:
    """Let a function, or a class or its ``__init__``, answer unknown keyword arguments so."""
    if isinstance(function, type):
        # Which class it is, mypy cannot know, nor whether its __init__ may be set.
        function.__init__ = checks_names(function.__init__)  # type: ignore[misc]
        return function
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(*arguments: Any, **options: Any) -> Any:
        if not options.keys() <= known.keys():
            is_init = function.__name__ == "__init__"
            of = type(arguments[0]).__name__ if is_init else function.__name__
            check_names(of, options, known)
        return function(*arguments, **options)

    return cast(Function, checked)
