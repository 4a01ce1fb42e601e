"""f and f' of an activation, and a delta's last factor, f' of what its input comes from."""

from __future__ import annotations

from typing import Any

import numpy as np

from convprop import ops
from convprop.explain import sums
from convprop.explain.explanation import Explanation, Step
from convprop.explain.place import Place, index_text, latex_text, subscript
from convprop.explain.rendering import power


def applied(activation: Place, x: Any) -> Any:
    """Return f(x) of one value, as the engine has it."""
    kind, settings = described(activation.native())
    return ops.activation.forward(np.array([x]), kind, **settings)[0]


def slope(activation: Place, at: tuple[int, ...]) -> Any:
    """Return f'(x) for the value at (image, indices...) of an activation, as the engine has it."""
    kind, settings = described(activation.native())
    x, o = np.array([activation.o[at]]), np.array([activation.x[at]])
    return ops.activation.input_delta(np.ones_like(o), o, kind, x=x, **settings)[0]


def described(native: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """Return an activation's kind and settings, as its operation takes them."""
    return native["activation"], {
        name: native[name] for name in ("slope", "alpha") if name in native
    }


def with_factor(
    place: Place,
    image: int,
    found: tuple[int, ...],
    *,
    names: str,
    source: tuple[str, str],
    formula: str,
    total: Any,
    **described: Any,
) -> Explanation:
    """Return the explanation of an input's delta, times f' where an activation made the input.

    ``source`` is what is cited without the factor, and with it.
    """
    before = place.before
    steps: tuple[Step, ...] = ()
    at = (image, *found)
    if before is None:
        whose = place.source_name
        name, value = "dE/do", place.sent(at, total)
        symbol = rf"\frac{{\partial E}}{{\partial o_{subscript(found)}}}"
    else:
        derivative = slope(before, at)
        whose = before.source_name
        value = before.delta_in[at]
        total = sums.flushed(total * derivative)[()]
        words = f"times f'(x) = {derivative!s}, {before.name}'s slope"
        steps += (Step(words, rf"\Bigl( % \Bigr) \cdot {power(derivative)}", total),)
        formula = rf"\Bigl( {formula} \Bigr) f'(x)"
        name = "delta"
        symbol = rf"\delta^{{{latex_text(whose)}}}_{subscript(found)}"
    return Explanation(
        name=f"{name}[{index_text(names, found)}] of {whose}, image {image}, through {place.name}",
        source=source[before is not None],
        symbol=symbol,
        formula=formula,
        start=("", value.dtype.type(0)),
        steps=steps,
        total=total,
        value=value,
        **described,
    )
