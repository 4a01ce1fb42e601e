"""Numbers and values as people read them."""

from __future__ import annotations

import math


def percent(part: float | None, unit: str = " %") -> str:
    """Return "98.71 %", and a dash for what is not known."""
    return "–" if part is None or math.isnan(part) else f"{100 * part:z.2f}{unit}"


def plain(number: float | None) -> str:
    """Return a loss with four significant digits, and a dash for what is not known."""
    if number is None or math.isnan(number):
        return "–"
    return f"{number:.4f}" if 0.1 <= abs(number) < 1000 else f"{number:z.4g}"


def quantity(number: float) -> str:
    """Return a number of any unit: "0.0123", "12.35", "123,457"."""
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else plain(number)


def told_apart(number: float, spread: float) -> str:
    """Return a quantity with as many digits as tell it from others that lie about it.

    Of 1.7e9 ± 30 ten digits are needed, where four are enough of 1.7e9 ± 1e9.

    Parameters
    ----------
    number : float
    spread : float
        The deviation of such numbers; 0 where there are no others.
    """
    digits = digits_beside(number, spread, 3)
    if digits <= 4:
        return quantity(number)
    decimals = digits - 1 - magnitude(number)
    plainly = 1e-3 <= abs(number) < 1e15
    return f"{number:,.{max(decimals, 0)}f}" if plainly else f"{number:.{digits}g}"


def digits_beside(number: float, spread: float, known: int) -> int:
    """Return how many digits of a number show the first ``known`` ones of a spread about it.

    At least ``known`` and at most the 17 that a float64 has.
    """
    if not (spread > 0 and math.isfinite(spread) and abs(number) > spread):
        return known
    return min(known + magnitude(number) - magnitude(spread), 17)


def magnitude(number: float) -> int:
    """Return the power of ten of a number's first digit."""
    return math.floor(math.log10(abs(number)))


def counted(number: int, noun: str) -> str:
    """Return "1 image" or "1,437 images"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def setting(value: object) -> str:
    """Return a setting's value."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {setting(inner)}" for name, inner in value.items())
    return str(value)


def duration(seconds: float) -> str:
    """Return "0.84 s", "3 min 5 s" or "2 h 10 min"."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
