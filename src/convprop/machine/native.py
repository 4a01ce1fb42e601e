"""Picks the engine built for this processor; the only place that does.

``CONVPROP_ISA`` overrides the choice (``x86_64_v2``, ``x86_64_v3``, ``x86_64_v4`` or
``generic``): for tests, and for comparing instruction sets. ``CONVPROP_NUM_THREADS`` is read
here too. A wrong value of either is refused when the engine is first used: the command's entry
point lies in the package, and an import that failed would end it with a traceback.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, NoReturn

from convprop import _cpu
from convprop.errors import ConvpropError, InvalidInput, invalid
from convprop.machine.processors import default_threads, processors

if TYPE_CHECKING:
    from convprop import _engine as engine
else:

    class _Refusal:
        def __init__(self, error: InvalidInput) -> None:
            self._message = str(error)

        def __getattr__(self, name: str) -> NoReturn:
            # No InvalidInput, which callers take for a fault of the values they pass on.
            raise ConvpropError(self._message)

    def _chosen():
        supported = _cpu.supported_isas()
        isa = os.environ.get("CONVPROP_ISA") or supported[0]
        if isa not in supported:
            rule = f"be one of {', '.join(supported)} on this machine"
            return _Refusal(invalid("CONVPROP_ISA", rule, isa))
        chosen = importlib.import_module(f"convprop._engine_{isa}")
        try:
            chosen.set_num_threads(default_threads(), processors())
        except InvalidInput as error:
            return _Refusal(error)
        return chosen

    engine = _chosen()


def description(kind: str, **properties: object) -> str:
    """Return an operation as the engine is told of it (kernels/ops/description.h)."""
    return " ".join((kind, *(f"{name}={_word(value)}" for name, value in properties.items())))


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else str(value)


__all__ = ["description", "engine"]
