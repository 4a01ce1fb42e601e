"""``--rate-factors "bias=64 conv*=0.5"``: numbers by the names of parameters, as words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from convprop.cli.options import UsageError, token_name
from convprop.cli.setting_words import pairs_of
from convprop.errors import InvalidInput, invalid
from convprop.optimizers import SGD

Factors = dict[str, float] | str


def read_factors(text: str, name: str, parameter: str) -> Factors:
    """Read words of a name, "=" and a number; or a word alone, which the optimizer knows.

    Raises
    ------
    UsageError
        Nothing, a name twice, no number, or a value that an optimizer refuses.
    """
    words = text.split()
    factors: Any = {}
    if len(words) == 1 and "=" not in text:
        factors = words[0]
    else:
        if not words:
            raise UsageError(str(invalid(parameter, 'be as in "bias=2 conv*=0.5"', "''")))
        for key, number in pairs_of(words, parameter):
            try:
                factors[key] = float(number)
            except ValueError:
                raise UsageError(
                    str(invalid(f"{parameter} {key}", "be a number", number))
                ) from None
    try:
        # What it refuses by itself; the names are those of a network that is not there yet.
        SGD(weight_decay=1.0, **{name: factors})
    except InvalidInput as error:
        told = error.parameter.replace(name, parameter, 1)
        raise UsageError(str(invalid(told, error.rule, error.received))) from None
    found: Factors = factors
    return found


def _setting(name: str) -> Any:
    option = f"--{name.replace('_', '-')}"

    def setting(_: Any, tokens: Sequence[Token]) -> Factors:
        return read_factors(tokens[0].value, name, token_name(tokens[0], option))

    return Parameter(converter=setting, n_tokens=1, accepts_keys=False, metavar="FACTORS")


RateFactors = Annotated[Factors | None, _setting("rate_factors")]
DecayFactors = Annotated[Factors | None, _setting("decay_factors")]
