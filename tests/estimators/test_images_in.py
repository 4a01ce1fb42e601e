"""What X may be: each form of the same images gives the same bits."""

import weakref

import numpy as np
import pytest
from blobs import blobs, classifier, regressor
from PIL import Image

import convprop as cp
from convprop.errors import DataError, InvalidInput
from convprop.estimators import pictures as pictures_module
from convprop.estimators import square_guess
from refusal import refuses


def weights(estimator: cp.ConvNetClassifier) -> str:
    return estimator.network_.weights_sha256()


def pictures(images: np.ndarray) -> list[Image.Image]:
    """Return (N, C, H, W) bytes as PIL images."""
    return [Image.fromarray(i[0] if len(i) == 1 else i.transpose(1, 2, 0)) for i in images]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with one subfolder of images per class, and the images in their order."""
    images, labels = blobs(12, channels=3)
    order = []
    for name in sorted(set(labels)):
        (tmp_path / name).mkdir()
        for number, row in enumerate(np.flatnonzero(labels == name)):
            pictures(images[[row]])[0].save(tmp_path / name / f"{number}.png")
            order.append(row)
    (tmp_path / "above" / "notes.txt").write_text("no image")
    return tmp_path, images[order], labels[order]


def test_every_layout_of_an_array_is_the_same():
    images, y = blobs(channels=3)
    forms = {
        "NCHW": (images, {}),
        "NHWC": (images.transpose(0, 2, 3, 1), {}),
        "NHWC, said": (images.transpose(0, 2, 3, 1), {"data_format": "NHWC"}),
        "lists": (images.tolist(), {}),
        "list of images": (list(images), {}),
        "rows": (images.reshape(60, -1), {}),
        "rows of a given shape": (images.reshape(60, -1), {"input_shape": (3, 6, 6)}),
        "rows, channels last": (
            images.transpose(0, 2, 3, 1).reshape(60, -1),
            {"input_shape": (6, 6, 3), "data_format": "NHWC"},
        ),
        "integers": (images.astype(int), {}),
        "float32": (images.astype("float32"), {}),
        "pictures": (pictures(images), {}),
    }
    fitted = {name: classifier(**more).fit(X, y) for name, (X, more) in forms.items()}
    expected = fitted["NCHW"].predict_proba(images)
    for name, estimator in fitted.items():
        X, _ = forms[name]
        assert weights(estimator) == weights(fitted["NCHW"]), name
        assert np.array_equal(estimator.predict_proba(X), expected), name
        assert estimator.n_features_in_ == 108


def test_grey_images_need_no_channel_axis():
    images, y = blobs()
    one = classifier().fit(images, y)
    for X in (images[:, 0], images.reshape(60, 36), pictures(images)):
        assert weights(classifier().fit(X, y)) == weights(one)
        assert np.array_equal(one.predict_proba(X), one.predict_proba(images))


@pytest.mark.parametrize(
    ("features", "shape"),
    [(64, (1, 8, 8)), (3072, (3, 32, 32)), (3, (3, 1, 1)), (1, (1, 1, 1)), (30, (1, 1, 30))],
)
def test_rows_are_taken_for_squares(features, shape):
    assert square_guess(features) == shape
    X, y = np.random.default_rng(0).random((6, features)), [0, 1] * 3
    fitted = cp.ConvNetClassifier(epochs=1, random_state=0).fit(X, y)
    assert fitted.network_.input_shape == shape


def test_float64_makes_a_float64_network():
    images, y = blobs()
    for dtype, expected in (("float64", "float64"), ("float32", "float32"), ("int64", "float32")):
        fitted = classifier().fit(images.astype(dtype), y)
        assert fitted.network_.dtype == expected
        assert fitted.predict_proba(images).dtype == expected
        assert fitted.transform(images).dtype == expected


def test_paths_in_any_container(folder):
    top, images, y = folder
    paths = sorted(top.glob("*/*.png"))
    expected = classifier().fit(images, y)
    pandas = pytest.importorskip("pandas")
    names = [str(path) for path in paths]
    for X in (
        paths,
        tuple(names),
        np.array(names),
        np.array(names, dtype=object)[:, np.newaxis],
        pandas.Series(names),
        pandas.Series(names, dtype="category"),
        pandas.DataFrame({"path": names}),
    ):
        fitted = classifier().fit(X, y)
        assert weights(fitted) == weights(expected)
        assert np.array_equal(fitted.predict(X), expected.predict(images))


def test_a_folder_is_its_subfolders(folder):
    top, images, y = folder
    expected = classifier().fit(images, y)
    for X in (top, str(top)):
        fitted = classifier().fit(X)
        assert weights(fitted) == weights(expected)
        assert list(fitted.classes_) == ["above", "below", "middle"]
        assert np.array_equal(fitted.predict(X), expected.predict(images))
        assert fitted.score(X) == expected.score(images, y)
        assert fitted.score(X, y) == expected.score(images, y)


def test_a_folder_with_a_training_part_is_fitted_on_it(folder, tmp_path_factory):
    top, _, _ = folder
    whole = tmp_path_factory.mktemp("whole")
    (whole / "test" / "above").mkdir(parents=True)
    top.rename(whole / "train")
    fitted = classifier().fit(whole)
    assert fitted.t_ == 4 * 12
    assert weights(fitted) == weights(classifier().fit(whole / "train"))


@pytest.mark.slow
def test_auto_trains_on_a_folder_of_colour_photos(tmp_path):
    random = np.random.default_rng(5)
    for number, name in enumerate(("cold", "warm")):
        (tmp_path / name).mkdir()
        for n in range(6):
            pixels = random.integers(0, 150, (32, 32, 3))
            pixels[..., 2 if number == 0 else 0] += 80
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / f"{n}.jpg")
    fitted = cp.ConvNetClassifier(random_state=0).fit(tmp_path)
    assert fitted.network_.input_shape == (3, 32, 32)
    assert fitted.score(tmp_path) == 1.0


def test_pictures_are_stretched_where_a_shape_is_known():
    images, y = blobs()
    large = [picture.resize((18, 12)) for picture in pictures(images)]
    fitted = classifier(input_shape=(6, 6)).fit(large, y)
    assert fitted.network_.input_shape == (1, 6, 6)
    again = [picture.resize((9, 30)) for picture in large]
    assert fitted.predict(again).shape == (60,)
    colour = classifier(input_shape=(3, 6, 6)).fit(large, y)
    assert colour.network_.input_shape == (3, 6, 6)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_pictures_of_another_size_are_refused_where_none_is_known(make, tmp_path):
    images, y = blobs(12)
    targets = y if make is classifier else images[:, 0, 0, 0] / 100
    fitted = make().fit(pictures(images), targets)
    assert len(fitted.predict(pictures(images))) == 12
    other = pictures(images)[0].resize((9, 30))
    rule = "X must have pictures of 6 x 6, as in fit, or be fitted with an input_shape to stretch"
    with refuses(InvalidInput, f"{rule} them to, got 30 x 9 (index 1)"):
        fitted.predict([pictures(images)[0], other])
    other.save(tmp_path / "other.png")
    with refuses(InvalidInput, f"{rule} them to, got 30 x 9 ({tmp_path / 'other.png'})"):
        fitted.predict(tmp_path)
    # Also where the network has learned from arrays.
    with refuses(InvalidInput, f"{rule} them to, got 30 x 9 (index 0)"):
        make().fit(images, targets).predict([other])


def test_one_colour_picture_makes_all_colour():
    images, y = blobs(6)
    mixed = pictures(images)
    mixed[4] = mixed[4].convert("RGB")
    fitted = classifier().fit(mixed, y)
    assert fitted.network_.input_shape == (3, 6, 6)
    assert weights(fitted) == weights(classifier().fit([p.convert("RGB") for p in mixed], y))


def test_paths_are_decoded_one_by_one(tmp_path, monkeypatch):
    """While a file is being decoded no earlier one is held in full."""
    held: list[int] = []

    def read(path, channels):
        picture = Image.new("L", (400, 400), 9)
        held.append(1)
        weakref.finalize(picture, held.pop)
        # The one before is given up when its name is bound anew.
        assert len(held) <= 2
        return picture

    monkeypatch.setattr(pictures_module, "read_file", read)
    array = pictures_module.as_array([tmp_path / str(n) for n in range(20)], 1, (4, 4), True)
    assert array.shape == (20, 1, 4, 4)
    assert (array == 9).all()


def test_what_X_may_not_be(folder, tmp_path_factory):
    top, _, _ = folder
    images, y = blobs(6)
    different = [picture.resize((6, 6 + n // 3)) for n, picture in enumerate(pictures(images))]
    with refuses(
        InvalidInput,
        "X must have pictures of one size, or come with an input_shape to stretch them to,"
        " got 6 x 6 (index 0) and 7 x 6 (index 3)",
    ):
        classifier().fit(different, y)
    with refuses(
        InvalidInput,
        "X must have shape (N, H, W), (N, H, W, C) or (N, C, H, W), got shape (2, 1, 1, 6, 6)",
    ):
        classifier().fit(np.zeros((2, 1, 1, 6, 6)), [0, 1])
    with refuses(
        InvalidInput,
        "X must come with data_format 'NCHW' or 'NHWC' where both axis 1 and axis 3 may be the"
        " channels (1, 3 or 4), got shape (2, 3, 6, 3)",
    ):
        classifier().fit(np.zeros((2, 3, 6, 3)), [0, 1])
    with refuses(InvalidInput, "data_format must be None, 'NCHW' or 'NHWC', got 'CHW'"):
        classifier(data_format="CHW").fit(images, y)
    with refuses(
        InvalidInput, "input_shape must have as many values as X has features, 36, got (5, 5)"
    ):
        classifier(input_shape=(5, 5)).fit(images.reshape(6, 36), y)
    with refuses(
        InvalidInput, "input_shape must be (H, W) or (C, H, W), each a positive integer, got 6"
    ):
        classifier(input_shape=6).fit(images.reshape(6, 36), y)
    with refuses(InvalidInput, "input_shape must have 1, 3 or 4 channels for pictures, got 2"):
        classifier(input_shape=(2, 6, 6)).fit(pictures(images), y)
    with refuses(InvalidInput, "X must hold pictures or paths alone, got 7 at index 5"):
        classifier().fit([*pictures(images)[:5], 7], y)
    with refuses(
        InvalidInput, "X must hold pictures of 8 bits a channel, got mode I;16 at index 0"
    ):
        classifier().fit([Image.new("I;16", (6, 6))] * 6, y)
    nowhere = top / "nowhere"
    with refuses(DataError, f"X must be a folder, got {str(nowhere)!r}"):
        classifier().fit(nowhere)
    with refuses(
        DataError, f"{top / 'above'} must hold one subfolder of images per class, got none"
    ):
        classifier().fit(top / "above")
    (top / "empty").mkdir()
    with refuses(
        DataError,
        f"{top / 'empty'} must hold at least one image (PNG, JPEG, BMP, TIFF or WebP), got none",
    ):
        classifier().fit(top)
    (top / "empty").rmdir()
    bad = top / "middle" / "bad.png"
    bad.write_bytes(b"no picture")
    with refuses(
        DataError, f"{bad} must be a PNG, JPEG, BMP, TIFF or WebP image, got something else"
    ):
        classifier().fit(top)
    with refuses(
        InvalidInput,
        "y must be given unless X is a folder: ConvNetClassifier requires y to be passed, but the"
        " target y is None",
    ):
        classifier().fit(images)
    fitted = classifier().fit(images, y)
    with refuses(
        InvalidInput, "X must hold images of shape (1, 6, 6) (C, H, W), as in fit, got (1, 6, 7)"
    ):
        fitted.predict(np.zeros((2, 6, 7)))
    with refuses(
        ValueError, "X has 35 features, but ConvNetClassifier is expecting 36 features as input."
    ):
        fitted.predict(np.zeros((2, 35)))


def test_a_folder_that_holds_itself_is_gone_through_once(folder):
    top, images, y = folder
    fitted = classifier().fit(images, y)
    (top / "again").symlink_to(top)
    assert len(fitted.predict(top)) == len(images)
