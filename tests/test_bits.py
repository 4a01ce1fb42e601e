"""The bits: recorded ones found by every engine with every number of threads.

Most networks are trained for two steps here; .ci/run trains all of them for 200
(`convprop check --bits --full`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import cases
import convprop as cp
from convprop import ops
from convprop._cpu import supported_isas
from convprop.check import bits
from convprop.errors import ConvpropError
from convprop.machine.native import engine

ISAS = [isa for isa in supported_isas() if isa != "x86_64_v2"]
THREADS = (1, 2, 3, 7)
NETWORKS = (
    *("lenet5", "cifar-tutorial", "keras-mnist", "lenet-theano", "pytorch-mnist", "vgg-small"),
    *("mlp", "deep-1", "deep-5", "deep-16", "deep-33", "deep-150", "deep-33-float64"),
    *("winograd-1", "winograd-33", "winograd-150", "winograd-33-float64"),
    *("branched-3", "branched-70", "branched-70-float64"),
    *("grouped-3", "grouped-70", "grouped-70-float64"),
    *("normalised-1", "normalised-5", "normalised-33", "normalised-150", "normalised-33-float64"),
    *("batch-normalised-3", "batch-normalised-33", "batch-normalised-150"),
    "batch-normalised-33-float64",
    *("bent-3", "bent-70", "bent-150", "bent-70-float64", "bent-branches-70"),
    *("mobile-3", "mobile-70", "mobile-70-float64"),
    *("convolutional-40", "convolutional-40-float64"),
    *("frozen-3", "frozen-70", "lars-70", "lamb-70", "lamb-33-float64"),
)
QUICK = (
    *("lenet5", "cifar-tutorial", "deep-33", "winograd-33", "branched-70", "grouped-70"),
    *("bent-70", "mobile-70", "batch-normalised-33"),
)

unfused = pytest.mark.skipif(not ISAS, reason="this processor has no fused multiply-add")


@pytest.fixture
def threads_restored() -> Iterator[None]:
    before = cp.get_num_threads()
    yield
    cp.set_num_threads(before)


def weights_after_200_steps() -> dict[str, list[str]]:
    """Return the hashes for each number of threads, by network; another process calls this too."""
    found: dict[str, list[str]] = {}
    for training in bits.TRAININGS:
        if training.name in QUICK:
            for threads in THREADS:
                cp.set_num_threads(threads)
                found.setdefault(training.name, []).append(training.hashes(200)["200"])
    return found


def test_the_recorded_cases_are_those_of_the_table():
    assert [case.line for case in bits.recorded()] == cases.bit_lines()


def test_every_case_has_its_hashes():
    parts = {"conv": 3, "pool": 2, "channel_shuffle": 2, "dense": 3, "join": 2, "activation": 2}
    parts |= {"augment": 1, "prelu": 3, "softmax": 2}
    parts |= {"group_norm": 4, "layer_norm": 4, "local_response_norm": 2}
    for case in bits.recorded():
        count = 2 if case.kind == "network" else 2 * parts[case.kind]
        assert len(case.hashes) == count
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in case.hashes.values())


@pytest.mark.slow
@unfused
def test_every_engine_finds_the_recorded_bits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CONVPROP_ISA", raising=False)
    rows = bits.check_every_engine(2)
    names = ["conv", "pool", "dense", "join", "channel_shuffle", "group_norm", "layer_norm"]
    names += ["local_response_norm", "activation", "prelu", "softmax", "augment", *NETWORKS]
    assert [(row.engine, row.name) for row in rows] == [(a, b) for a in ISAS for b in names]
    for row in rows:
        assert (row.threads, row.found, row.differing) == ([1, 2, 3, 7], row.recorded, [])


@pytest.mark.slow
@unfused
@pytest.mark.parametrize("isa", ISAS)
def test_200_steps_with_every_number_of_threads(isa: str):
    script = "import json, test_bits; print(json.dumps(test_bits.weights_after_200_steps()))"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        env=os.environ | {"CONVPROP_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(finished.stdout)
    assert set(found) == set(QUICK)
    recorded = {case.name: case.hashes for case in bits.recorded() if case.kind == "network"}
    for name, hashes in found.items():
        assert hashes == [recorded[name]["200"]] * len(THREADS), name


@pytest.mark.usefixtures("threads_restored")
def test_one_bit_of_one_result_with_one_number_of_threads_is_found(
    monkeypatch: pytest.MonkeyPatch,
):
    right = ops.conv.forward

    def wrong(o: np.ndarray, w: np.ndarray, *rest: object, **options: object) -> np.ndarray:
        x = right(o, w, *rest, **options)
        if cp.get_num_threads() == 3 and x.dtype == np.float32 and x.shape == (3, 3, 5, 4):
            x.view(np.uint32)[0, 0, 0, 0] ^= 1
        return x

    kept = [case for case in bits.recorded() if case.name in ("one-channel-odd", "1x1", "deep-1")]
    assert [case.kind for case in kept] == ["conv", "conv", "network"]
    monkeypatch.setattr(bits, "recorded", lambda: kept)
    monkeypatch.setattr(ops.conv, "forward", wrong)
    same, other, network = bits.check_bits(2)
    assert (same.name, same.threads, same.results, same.differing) == ("conv", [1, 2, 7], 12, [])
    assert (other.name, other.threads) == ("conv", [3])
    assert other.differing == ["one-channel-odd forward float32"]
    assert same.found == same.recorded == other.recorded != other.found
    assert (network.threads, network.results, network.differing) == ([1, 2, 3, 7], 1, [])


@pytest.mark.usefixtures("threads_restored")
def test_other_weights_are_found(monkeypatch: pytest.MonkeyPatch):
    (deep,) = (case for case in bits.recorded() if case.name == "deep-1")
    other = bits.Case(deep.line, deep.hashes | {"2": "0" * 64})
    monkeypatch.setattr(bits, "recorded", lambda: [other])
    (row,) = bits.check_bits(2)
    assert (row.recorded, row.found) == ("0" * 64, deep.hashes["2"])
    assert row.differing == ["deep-1 2"]


def test_an_engine_without_fused_multiply_add_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "isa", "x86_64_v2")
    with pytest.raises(ConvpropError, match="no fused multiply-add"):
        bits.check_bits(2)
    with pytest.raises(ConvpropError, match="no fused multiply-add"):
        bits.text_of([])


@unfused
def test_an_engine_that_ends_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CONVPROP_ISA", raising=False)
    monkeypatch.setattr(bits, "supported_isas", lambda: ["no_such"])
    with pytest.raises(ConvpropError, match="the engine for no_such ended with status 1: "):
        bits.check_every_engine(2)


def test_what_is_recorded_again_is_what_was_recorded():
    kept = [case for case in bits.recorded() if case.kind in ("pool", "join", "activation")]
    lines = bits.text_of(case.line for case in kept).splitlines()
    recorded = bits.RECORDED.read_text(encoding="ascii").splitlines()
    assert len(lines) == 1 + len(kept) + 2 * 2 * len(kept)
    assert set(lines) <= set(recorded)
