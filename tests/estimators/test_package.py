"""What belongs to the package as a whole."""

import doctest
import subprocess
import sys

import pytest

import convprop as cp
from convprop.estimators import classifier, regressor


@pytest.mark.parametrize("module", [classifier, regressor], ids=lambda module: module.__name__)
def test_the_examples_of_the_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted >= 4
    assert result.failed == 0


def test_scikit_learn_is_imported_when_an_estimator_is_asked_for():
    script = """
import sys
import convprop
assert "sklearn" not in sys.modules
assert "ConvNetClassifier" in convprop.__all__
from convprop import ConvNetClassifier, ConvNetRegressor
assert "sklearn" in sys.modules
print(ConvNetClassifier("lenet5", epochs=5), ConvNetRegressor())
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.stdout == "ConvNetClassifier(epochs=5, network='lenet5') ConvNetRegressor()\n"


def test_both_take_the_same_parameters():
    ours, theirs = cp.ConvNetClassifier().get_params(), cp.ConvNetRegressor().get_params()
    assert theirs.items() <= ours.items()
    assert ours.keys() - theirs.keys() == {"class_weight", "label_smoothing"}
