"""What scikit-learn's checks ask of rows, asked of images, in each layout."""

import pickle
from copy import deepcopy

import joblib
import numpy as np
import pytest
from blobs import NAMES, blobs, classifier, regressor
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.utils import estimator_html_repr

import convprop as cp

LAYOUTS = {
    "NCHW": lambda images: images,
    "NHWC": lambda images: np.ascontiguousarray(images.transpose(0, 2, 3, 1)),
    "NHW": lambda images: images[:, 0],
}
DTYPES = ("uint8", "float32", "float64")
METHODS = ("predict", "predict_proba", "predict_log_proba", "transform")


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture(params=DTYPES)
def images(request, layout):
    """Return images in a layout and of a dtype; of three channels where the layout has them."""
    array, _ = blobs(48, channels=1 if layout == "NHW" else 3)
    return LAYOUTS[layout](array).astype(request.param)


@pytest.fixture(params=["classifier", "regressor"])
def unfitted(request):
    return classifier() if request.param == "classifier" else regressor()


@pytest.fixture
def y(unfitted):
    labels = np.arange(48) % 3
    return NAMES[labels] if isinstance(unfitted, cp.ConvNetClassifier) else labels * 1.5 - 7


def results(estimator, X):
    """Return what every method makes of X."""
    return {name: getattr(estimator, name)(X) for name in METHODS if hasattr(estimator, name)}


def same(left, right):
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name]) for name in left
    )


def test_rows_and_images_give_the_same_bits(unfitted, y, images):
    rows = images.reshape(48, -1)
    shaped = clone(unfitted).fit(images, y)
    format_, shape = None, images.shape[1:]
    if images.ndim == 4:
        format_ = "NHWC" if shape[-1] == 3 else "NCHW"
    flat = clone(unfitted).set_params(input_shape=shape, data_format=format_).fit(rows, y)
    assert same(results(shaped, images), results(flat, rows))
    assert same(results(flat, images), results(flat, rows))
    assert shaped.n_features_in_ == flat.n_features_in_ == rows.shape[1]


def test_clones_fit_to_the_same_bits(unfitted, y, images):
    copy = clone(unfitted)
    assert repr(copy) == repr(unfitted)
    assert same(
        results(copy.fit(images, y), images), results(deepcopy(unfitted).fit(images, y), images)
    )


def test_fitting_again_gives_the_same_bits(unfitted, y, images):
    first = results(unfitted.fit(images, y), images)
    assert same(first, results(unfitted.fit(images, y), images))


def test_pickled_and_dumped_it_predicts_the_same(unfitted, y, images, tmp_path):
    expected = results(unfitted.fit(images, y), images)
    assert same(expected, results(pickle.loads(pickle.dumps(unfitted)), images))
    file = tmp_path / "estimator.joblib"
    joblib.dump(unfitted, file)
    for mode in (None, "r", "c"):
        loaded = joblib.load(file, mmap_mode=mode)
        assert same(expected, results(loaded, images))
        # And it can be trained on.
        loaded.partial_fit(images, y)


def test_read_only_mapped_images(unfitted, y, images, tmp_path):
    np.save(tmp_path / "X.npy", images)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = results(clone(unfitted).fit(images, y), images)
    assert same(expected, results(unfitted.fit(mapped, y), mapped))


def test_fortran_order_and_strides(unfitted, y, images):
    expected = results(clone(unfitted).fit(images, y), images)
    wide = np.repeat(images, 2, axis=0)
    for X in (np.asfortranarray(images), wide[::2]):
        assert same(expected, results(clone(unfitted).fit(X, y), X))


def test_what_is_given_stays_as_it_was(unfitted, y, images):
    parameters, before = deepcopy(unfitted.get_params()), set(vars(unfitted))
    X, labels, weights = images.copy(), y.copy(), np.linspace(0, 2, 48)
    given = weights.copy()
    unfitted.fit(X, labels, sample_weight=weights)
    results(unfitted, X)
    assert repr(unfitted.get_params()) == repr(parameters)
    assert np.array_equal(X, images)
    assert np.array_equal(labels, y)
    assert np.array_equal(weights, given)
    new = set(vars(unfitted)) - before
    assert all(name.endswith("_") or name.startswith("_") for name in new)


def test_a_part_of_the_images_gets_what_it_gets_in_the_whole(unfitted, y, images):
    unfitted.fit(images, y)
    whole = results(unfitted, images)
    for rows in (slice(0, 1), slice(5, 14), slice(7, 48), np.arange(48)[::-1]):
        assert same(results(unfitted, images[rows]), {n: v[rows] for n, v in whole.items()})


def test_a_weight_is_so_many_images(unfitted, y, images):
    """In one batch; in float64 to rounding, which some epochs may enlarge."""
    weights = np.arange(48) // 3 % 3
    X = images.astype("float64")
    settings = {"batch_size": 1000, "epochs": 20}
    weighted = clone(unfitted).set_params(**settings).fit(X, y, sample_weight=weights)
    repeated = clone(unfitted).set_params(**settings)
    repeated.fit(X.repeat(weights, axis=0), y.repeat(weights))
    once = clone(unfitted).set_params(**settings).fit(X, y)
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=0, atol=1e-9)
    assert np.abs(weighted.transform(X) - once.transform(X)).max() > 1e-3


def test_before_fit_it_says_so(unfitted, images):
    for name in METHODS:
        if hasattr(unfitted, name):
            with pytest.raises(NotFittedError, match="is not fitted yet"):
                getattr(unfitted, name)(images)


def test_another_shape_is_refused(unfitted, y, images):
    unfitted.fit(images, y)
    with pytest.raises(ValueError, match=r"X must hold images of shape .* as in fit, got"):
        unfitted.predict(np.concatenate([images, images], axis=2))
    with pytest.raises(ValueError, match="features"):
        unfitted.predict(images.reshape(96, -1))


def test_not_a_number_is_refused(unfitted, y, images):
    X = images.astype("float32")
    for value, words in ((np.nan, "NaN"), (np.inf, "infinity")):
        X[3].flat[2] = value
        with pytest.raises(ValueError, match=words):
            unfitted.fit(X, y)
        fitted = clone(unfitted).fit(images, y)
        with pytest.raises(ValueError, match=words):
            fitted.predict(X)


def test_a_failed_fit_leaves_it_unfitted(unfitted, y, images):
    with pytest.raises(ValueError, match="learning_rate_init must"):
        unfitted.set_params(learning_rate_init=-1.0).fit(images, y)
    with pytest.raises(NotFittedError):
        unfitted.predict(images)


def test_it_learns(unfitted, y, images):
    X, X_test, y_train, y_test = train_test_split(images, y, random_state=0)
    unfitted.set_params(epochs=60, learning_rate_init=0.01).fit(X, y_train)
    assert unfitted.score(X_test, y_test) > 0.9


def test_features_have_names(unfitted, y, images):
    unfitted.fit(images, y)
    names = unfitted.get_feature_names_out()
    prefix = type(unfitted).__name__.lower()
    assert list(names) == [f"{prefix}{n}" for n in range(8)]
    features = unfitted.transform(images)
    assert features.shape == (48, 8)
    last = unfitted.network_.parameters
    outputs = features @ last["dense2.weight"].T + last["dense2.bias"]
    np.testing.assert_allclose(outputs, unfitted.network_.forward(images), rtol=1e-4, atol=1e-5)


def test_the_table_of_layers_in_html(unfitted, y, images):
    assert "<td>conv1</td>" not in unfitted._repr_html_()
    unfitted.fit(images, y)
    html = unfitted._repr_html_()
    assert html.startswith(estimator_html_repr(unfitted)[:20])
    assert "<td>conv1</td><td>Conv(4, 3)</td><td>4x4x4</td>" in html
    assert html.endswith(unfitted._repr_mimebundle_()["text/html"][-500:])
    total = sum(array.size for array in unfitted.network_.parameters.values())
    assert f'<td>total</td><td></td><td></td><td style="text-align: right">{total}</td>' in html
