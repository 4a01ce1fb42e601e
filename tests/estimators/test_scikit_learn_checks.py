"""scikit-learn's own checks of an estimator: every one of them, none expected to fail."""

from unittest import SkipTest

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

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
    if not hasattr(estimator_checks, "estimator_checks_generator"):
        pytest.skip("before scikit-learn 1.6 the checks come otherwise")
    tags = estimator.__sklearn_tags__()
    assert tags.input_tags.two_d_array
    assert tags.requires_fit
    assert tags.target_tags.required
    assert not (tags.no_validation or tags.non_deterministic or tags._skip_test)
    assert not tags.input_tags.allow_nan
    poor = tags.classifier_tags or tags.regressor_tags
    assert not poor.poor_score
    checks = estimator_checks.estimator_checks_generator(estimator, mark=None)
    names = {getattr(check, "func", check).__name__ for _, check in checks}
    assert len(names) > 55
    assert {
        "check_sample_weight_equivalence_on_dense_data",
        "check_estimators_pickle",
        "check_methods_subset_invariance",
        "check_transformer_preserve_dtypes",
        "check_estimators_nan_inf",
        "check_requires_y_none",
    } <= names
