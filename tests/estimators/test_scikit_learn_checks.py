"""scikit-learn's own checks of an estimator: every one of them, none expected to fail."""

from unittest import SkipTest

import pytest
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import convprop as cp

ESTIMATORS = [cp.ConvNetClassifier(), cp.ConvNetRegressor()]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    try:
        check(estimator)
    except SkipTest as reason:
        if "pandas" in str(reason):
            pytest.skip(str(reason))
        pytest.fail(f"scikit-learn skips it: {reason}")


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_no_tag_switches_checks_off(estimator):
    tags = get_tags(estimator)
    assert tags.input_tags.two_d_array
    assert tags.requires_fit
    assert tags.target_tags.required
    assert not (tags.no_validation or tags.non_deterministic or tags._skip_test)
    assert not tags.input_tags.allow_nan
    poor = tags.classifier_tags or tags.regressor_tags
    assert not poor.poor_score
    names = {getattr(check, "func", check).__name__ for _, check in checks(estimator)}
    assert len(names) > 55
    assert {
        "check_sample_weight_equivalence_on_dense_data",
        "check_estimators_pickle",
        "check_methods_subset_invariance",
        "check_transformer_preserve_dtypes",
        "check_estimators_nan_inf",
        "check_requires_y_none",
    } <= names


def checks(estimator):
    """Return the estimator and each of its checks, none wrapped to be skipped or to fail."""
    return estimator_checks_generator(estimator, mark=None)
