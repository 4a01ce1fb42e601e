"""Picks the engine built for this processor; the only place that does.

``CONVPROP_ISA`` overrides the choice (``x86_64_v2``, ``x86_64_v3``, ``x86_64_v4`` or
``generic``): for tests, and for comparing instruction sets.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from convprop import _cpu
from convprop.errors import invalid

if TYPE_CHECKING:
    from convprop import _engine as engine
else:
    _supported = _cpu.supported_isas()
    _isa = os.environ.get("CONVPROP_ISA") or _supported[0]
    if _isa not in _supported:
        raise invalid("CONVPROP_ISA", f"be one of {', '.join(_supported)} on this machine", _isa)
    engine = importlib.import_module(f"convprop._engine_{_isa}")

__all__ = ["engine"]
