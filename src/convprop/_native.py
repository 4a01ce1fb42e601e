"""Picks the engine built for this processor; the only place that does.

``CONVPROP_ISA`` overrides the choice (``x86_64_v2``, ``x86_64_v3``, ``x86_64_v4`` or
``generic``): for tests, and for comparing instruction sets. A wrong one is refused when the
engine is first used: the command's entry point lies in the package, and an import that failed
would end it with a traceback.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, NoReturn

from convprop import _cpu
from convprop.errors import ConvpropError, invalid

if TYPE_CHECKING:
    from convprop import _engine as engine
else:
    _supported = _cpu.supported_isas()
    _isa = os.environ.get("CONVPROP_ISA") or _supported[0]

    class _NoEngine:
        def __getattr__(self, name: str) -> NoReturn:
            rule = f"be one of {', '.join(_supported)} on this machine"
            # No InvalidInput, which callers take for a fault of the values they pass on.
            raise ConvpropError(str(invalid("CONVPROP_ISA", rule, _isa)))

    _known = _isa in _supported
    engine = importlib.import_module(f"convprop._engine_{_isa}") if _known else _NoEngine()

__all__ = ["engine"]
