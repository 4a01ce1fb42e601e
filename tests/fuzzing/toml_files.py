"""Settings files of ``convprop train --config``, with keys and values of every type."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from cyclopts import CycloptsError

from convprop.cli.app import build_app
from convprop.cli.options import usage_message
from convprop.cli.search_settings import SETTINGS
from convprop.cli.train_settings import OPTIONS, TrainOptions
from convprop.data import Dataset
from convprop.errors import ConvpropError
from fuzzing.judge import check_shown, must
from fuzzing.mutate import FLOATS, NUMBERS, TEXTS, damaged

GOOD: dict[str, Any] = {
    "preset": "digits",
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 0.01,
    "optimizer": "sgd",
    "schedule": "cosine warmup=0.1",
    "rate_factors": "bias=2 conv*=0.5",
    "decay_factors": "weights",
    "weight_decay": 0.01,
    "lookahead": "steps=3 share=0.5",
    "micro_batch": 16,
    "validation": 0.1,
    "seed": 5,
    "size": "32x48",
    "augment": {"shift": [1, 2], "flip": "horizontal", "rotation": 5.5, "mixup": 0.2},
    "clip_norm": 1.0,
    "average": 0.99,
    "early_stopping": 3,
    "class_weight": "balanced",
    "threads": 1,
    "stream": False,
}
WORDS = (
    *(
        "1e999",
        "inf",
        "-inf",
        "nan",
        "1979-05-27",
        "1979-05-27T07:32:00Z",
        "07:32:00",
        "0x7fffffff",
    ),
    *(
        "0o17",
        "1_000",
        "-0",
        "+1",
        "true",
        "[[[[1]]]]",
        "{a = 1}",
        "{a = {b = {c = 1}}}",
        "[]",
        "{}",
    ),
    *("9" * 400, "1" + "0" * 5000, "[" * 2000 + "]" * 2000, '"""a\nb"""', "''", "1e-999", "- 1"),
    *('"\\u202E"', '"\\u001b[2J"', '"\\uD800"', '"\\U00110000"', '"--json"', '"a=b,c"', '"1,2"'),
)


class Settings:
    """Makes settings files, and reads them as `convprop train` does."""

    def __init__(self) -> None:
        self.app = build_app()
        images, labels = np.zeros((9, 1, 8, 8), np.uint8), np.arange(9, dtype=np.int32) % 3
        self.data = Dataset(images, labels, ["a", "b", "c"], "some")
        self.names = sorted(OPTIONS | set(GOOD) | {"data", "config", "help", "version", "json"})

    def __call__(self, chance: random.Random) -> None:
        """Try one."""
        path = Path(chance.choice(("settings.toml", "\x1b[31m.toml")))
        path.write_bytes(self._made(chance))
        try:
            _, bound, _ = self.app.parse_args(
                ["train", "digits", "--config", str(path)], exit_on_error=False, print_error=False
            )
        except CycloptsError as error:
            check_shown(usage_message(error, SETTINGS))
            raise ConvpropError("wrong usage") from None
        given = bound.arguments.get("given", TrainOptions())
        must(isinstance(given, TrainOptions), f"not settings: {given!r:.200}")
        given.check()
        settings = given.resolved(self.data, len(self.data))
        repr((settings, settings.arguments()))
        given.command("digits")
        settings.options.table("digits")

    def _made(self, chance: random.Random) -> bytes:
        names = chance.sample(list(GOOD), chance.randint(1, 6))
        values = {name: _toml(GOOD[name]) for name in names}
        for _ in range(chance.randint(0, 2)):
            name = chance.choice(self.names if chance.random() < 0.5 else names)
            if chance.random() < 0.1:
                name = _toml(chance.choice(TEXTS))
            values[name] = _odd(chance)
        if chance.random() < 0.1:
            values["augment"] = f"{{{chance.choice(list(GOOD['augment']))} = {_odd(chance)}}}"
        lines = [f"{name} = {value}" for name, value in values.items()]
        if chance.random() < 0.2:
            lines += [
                f"[{chance.choice(('result', 'augment', *self.names))}]",
                f"x = {_odd(chance)}",
            ]
        if chance.random() < 0.05:
            lines.append(lines[0].replace("_", "-"))
        content = "\n".join(lines).encode("utf-8", "surrogatepass")
        return damaged(chance, content) if chance.random() < 0.2 else content


def _odd(chance: random.Random) -> str:
    """Return a value in TOML that seldom stands anywhere."""
    kind = chance.randrange(5)
    if kind == 0:
        return chance.choice(WORDS)
    if kind == 1:
        return str(chance.choice(NUMBERS) - chance.randrange(2))
    if kind == 2:
        return repr(chance.choice(FLOATS))
    if kind == 3:
        return _toml(chance.choice(TEXTS))
    return _toml(chance.choice((True, False, [1, 2], [0.5], ["a"], {})))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(member)}" for name, member in value.items()) + "}"
    return json.dumps(value, ensure_ascii=True)


prepare = Settings
