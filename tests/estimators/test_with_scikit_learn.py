"""The estimators within scikit-learn's tools."""

import numpy as np
import pytest
import sklearn
from blobs import blobs, classifier, regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import convprop as cp
from convprop.machine.threads import get_num_threads

FITTING = {"epochs": 40, "learning_rate_init": 0.01}


def threads(estimator, X, y):
    """Score by how many threads the process that scores has."""
    return get_num_threads()


def test_pipelines_of_rows_and_of_images():
    images, y = blobs()
    rows = images.reshape(60, -1).astype("float32")
    first = make_pipeline(StandardScaler(), classifier(**FITTING))
    assert first.fit(rows, y).score(rows, y) > 0.95
    second = make_pipeline(FunctionTransformer(lambda X: 255 - X), classifier(**FITTING))
    assert second.fit(images, y).score(images, y) > 0.95
    third = make_pipeline(classifier(**FITTING), LogisticRegression())
    assert third.fit(images, y).score(images, y) > 0.95
    assert len(third[:-1].get_feature_names_out()) == 8


def test_cross_validation_of_images_and_of_paths(tmp_path):
    images, y = blobs()
    scores = cross_val_score(classifier(**FITTING), images, y, cv=3)
    assert scores.min() > 0.9
    from PIL import Image

    paths = []
    for number, image in enumerate(images):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image[0]).save(paths[-1])
    assert list(cross_val_score(classifier(**FITTING), paths, y, cv=3)) == list(scores)
    predicted = cross_val_predict(
        classifier(**FITTING), images, y, cv=3, method="predict_log_proba"
    )
    assert predicted.shape == (60, 3)
    assert cross_val_score(regressor(**FITTING), images, np.arange(60) % 3, cv=3).min() > 0.5


@pytest.mark.slow
def test_grid_search_in_two_processes():
    images, y = blobs()
    grid = {
        "optimizer__learning_rate": [0.01, 1e-6],
        "network": [[cp.Dense(3)], [cp.Conv(2, 3), cp.ReLU(), cp.Dense(3)]],
    }
    search = GridSearchCV(classifier(epochs=40), grid, cv=3, n_jobs=2)
    search.fit(images, y, sample_weight=np.ones(60))
    assert search.best_params_["optimizer__learning_rate"] == 0.01
    assert search.best_score_ > 0.9
    assert isinstance(search.best_estimator_.optimizer, cp.Adam)
    alone = GridSearchCV(classifier(epochs=40), grid, cv=3).fit(images, y)
    for name in ("mean_test_score", "std_test_score"):
        assert np.array_equal(search.cv_results_[name], alone.cv_results_[name])


@pytest.mark.slow
def test_processes_share_the_threads():
    """Each of two has half of the processors, and not all of them."""
    from joblib import cpu_count

    images, y = blobs()
    search = GridSearchCV(classifier(), {"epochs": [1, 2]}, cv=2, n_jobs=2, scoring=threads)
    search.fit(images, y)
    assert search.cv_results_["mean_test_score"].max() <= max(cpu_count() // 2, 1)


@pytest.mark.parametrize(
    ("resource", "jobs"), [("n_samples", 1), pytest.param("epochs", 2, marks=pytest.mark.slow)]
)
def test_halving_search(resource, jobs):
    images, y = blobs(120)
    search = HalvingGridSearchCV(
        classifier(epochs=10) if resource == "n_samples" else classifier(),
        {"learning_rate_init": [0.01, 1e-6, 1e-7]},
        resource=resource,
        min_resources=30 if resource == "n_samples" else 5,
        max_resources=120 if resource == "n_samples" else 15,
        cv=3,
        n_jobs=jobs,
        random_state=0,
    )
    search.fit(images, y)
    assert search.best_params_["learning_rate_init"] == 0.01
    assert search.n_iterations_ == 2


def test_voting_stacking_and_calibration():
    images, y = blobs()
    rows = images.reshape(60, -1)
    members = [("net", classifier(**FITTING)), ("line", LogisticRegression(max_iter=2000))]
    for voting in ("soft", "hard"):
        assert VotingClassifier(members, voting=voting).fit(rows, y).score(rows, y) > 0.9
    assert StackingClassifier(members, cv=3).fit(rows, y).score(rows, y) > 0.9
    calibrated = CalibratedClassifierCV(classifier(**FITTING), cv=3).fit(images, y)
    probabilities = calibrated.predict_proba(images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert calibrated.score(images, y) > 0.9


def test_permutation_of_pixels_finds_those_that_matter():
    images, y = blobs()
    images = images.copy()
    images[:, :, :, 0] = 0
    rows = images.reshape(60, -1)
    fitted = classifier(**FITTING).fit(rows, y)
    found = permutation_importance(fitted, rows, y, n_repeats=3, random_state=0)
    importance = found.importances_mean.reshape(6, 6)
    assert (importance[:, 0] == 0).all()
    assert importance[:, 1:].max() > 0


def test_metadata_is_routed():
    images, y = blobs()
    weights = np.arange(60) % 2.0
    with sklearn.config_context(enable_metadata_routing=True):
        asking = classifier(**FITTING).set_fit_request(sample_weight=True)
        asking.set_score_request(sample_weight=True)
        search = GridSearchCV(asking, {"alpha": [None]}, cv=2).fit(images, y, sample_weight=weights)
        pipeline = make_pipeline(FunctionTransformer(), asking)
        pipeline.fit(images, y, sample_weight=weights)
    expected = classifier(**FITTING).fit(images, y, sample_weight=weights)
    assert expected.loss_curve_ == search.best_estimator_.loss_curve_
    assert expected.loss_curve_ == pipeline[-1].loss_curve_
    assert expected.loss_curve_ != classifier(**FITTING).fit(images, y).loss_curve_


def test_names_of_features_are_kept_and_compared():
    pandas = pytest.importorskip("pandas")
    images, y = blobs()
    frame = pandas.DataFrame(images.reshape(60, -1), columns=[f"pixel{n}" for n in range(36)])
    fitted = classifier().fit(frame, y)
    assert list(fitted.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame.rename(columns={"pixel3": "other"}))
    named = classifier().set_output(transform="pandas").fit(frame, y).transform(frame)
    assert list(named.columns) == [f"convnetclassifier{n}" for n in range(8)]
    assert not hasattr(fitted.fit(images, y), "feature_names_in_")


@pytest.mark.slow
def test_digits_by_their_rows():
    """Five folds in the order of the images, as scikit-learn makes them, of what one may expect."""
    X, y = load_digits(return_X_y=True)
    scores = cross_val_score(cp.ConvNetClassifier(random_state=0), X.astype("uint8"), y, n_jobs=2)
    assert scores.mean() >= 0.985
