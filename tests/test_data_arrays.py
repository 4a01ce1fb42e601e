import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convprop.data.arrays import as_images, as_labels, stratified_split
from convprop.data.normalise import normalisation
from convprop.errors import InvalidInput
from refusal import refuses

COLOUR = np.arange(2 * 3 * 5 * 6, dtype=np.uint8).reshape(2, 3, 5, 6)
GREY = COLOUR[:, 0]


def test_uint8_in_place_is_returned_itself():
    assert as_images(COLOUR, np.float32, (3, 5, 6)) is COLOUR


@pytest.mark.parametrize("input_shape", [None, (3, 5, 6)])
def test_channels_last_becomes_channels_first(input_shape):
    result = as_images(COLOUR.transpose(0, 2, 3, 1), np.float32, input_shape)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, COLOUR)


@pytest.mark.parametrize("input_shape", [None, (1, 5, 6)])
@pytest.mark.parametrize("axis", [None, 1, 3])
def test_grey_images_need_no_channel_axis(axis, input_shape):
    given_images = GREY if axis is None else np.expand_dims(GREY, axis)
    np.testing.assert_array_equal(as_images(given_images, "float32", input_shape), GREY[:, None])


def test_equal_lengths_mean_channels_first():
    images = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3)
    assert as_images(images, np.float32, (3, 3, 3)) is images


def test_data_format_decides_where_lengths_do_not():
    images = np.zeros((2, 7, 8, 9))
    assert as_images(images, np.float64, data_format="NCHW").shape == (2, 7, 8, 9)
    assert as_images(images, np.float64, data_format="NHWC").shape == (2, 9, 7, 8)


def test_one_pixel_is_the_same_in_both_layouts():
    images = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    assert as_images(images, np.float32) is images


@pytest.mark.parametrize("shape", [(1, 4, 4), (4, 4, 1), (3, 5, 3), (1, 1, 3), (3, 3, 3)])
def test_two_readings_with_other_pixels_need_a_data_format(shape):
    images = np.arange(2 * np.prod(shape)).reshape(2, *shape)
    rule = "images must come with data_format 'NCHW' or 'NHWC' where both axis 1 and axis 3 may be"
    with refuses(InvalidInput, f"{rule} the channels (1, 3 or 4), got shape {images.shape}"):
        as_images(images, np.float32)
    first, last = (as_images(images, np.float32, data_format=f) for f in ("NCHW", "NHWC"))
    assert first.shape != last.shape or (first != last).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given_dtype", ["float16", "float32", "float64", ">f4", "longdouble"])
def test_floats_become_the_dtype(given_dtype, dtype):
    result = as_images(GREY.astype(given_dtype), dtype)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result[:, 0], GREY)


@pytest.mark.parametrize("given_dtype", ["int8", "int16", ">u2", "int64", "uint64"])
def test_integers_of_eight_bits_become_uint8(given_dtype):
    result = as_images(GREY.astype(given_dtype) % 100, "float32")
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[:, 0], GREY % 100)


def test_bools_become_uint8():
    np.testing.assert_array_equal(as_images(GREY > 7, "float32")[:, 0], GREY > 7)


def test_wider_integers_become_floats_exactly():
    images = np.array([[[-(2**24), 2**24]]])
    result = as_images(images, "float32")
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[0], images)


def test_lists_are_taken():
    assert as_images([[[1, 2], [3, 4]]], "float32").shape == (1, 1, 2, 2)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.float32(3), "images must hold at least one image, got shape ()"),
        (np.zeros((0, 5, 4)), "images must hold at least one image, got shape (0, 5, 4)"),
        (np.zeros((2, 0, 4)), "images must have no axis of length 0, got shape (2, 1, 0, 4)"),
        (
            np.zeros((2, 20)),
            "images must have shape (N, H, W), (N, H, W, C) or (N, C, H, W), got shape (2, 20)",
        ),
        (
            np.zeros((2, 5, 4, 2)),
            "images must have 1, 3 or 4 channels in either axis 1 or axis 3, or come with"
            " data_format 'NCHW' or 'NHWC', got shape (2, 5, 4, 2)",
        ),
        (
            np.zeros((2, 3, 5, 4)),
            "images must come with data_format 'NCHW' or 'NHWC' where both axis 1 and axis 3 may"
            " be the channels (1, 3 or 4), got shape (2, 3, 5, 4)",
        ),
        (
            np.zeros((2, 5, 4), dtype=complex),
            "images must hold integers or floating-point numbers, got dtype complex128",
        ),
        (
            np.array(["a"]),
            "images must hold integers or floating-point numbers, got dtype <U1",
        ),
        (
            [[[1, 2], [3]]],
            "images must be one array of numbers, got sequences of unequal lengths",
        ),
        (
            np.full((1, 1, 1), 2**24 + 1),
            "images must hold integers of magnitude at most 16777216 (float32), got 16777217",
        ),
        (
            np.array([[[-(2**40), 300]]]),
            "images must hold integers of magnitude at most 16777216 (float32), got -1099511627776",
        ),
        (
            np.full((1, 2, 2), 1e300),
            "images must fit in float32, got a value of magnitude 1e+300",
        ),
    ],
)
def test_what_is_no_set_of_images(images, message):
    with refuses(InvalidInput, message):
        as_images(images, "float32")


def test_unknown_data_format():
    with refuses(InvalidInput, "data_format must be 'NCHW' or 'NHWC', got 'CHWN'"):
        as_images(COLOUR, "float32", data_format="CHWN")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value):
    # Far enough in for the second chunk of images.
    images = np.zeros((300, 30, 31, 1), dtype=np.float32)
    images[250, 7, 8, 0] = value
    message = f"x must be finite, got {value} at (image, channel, row, column) (250, 0, 7, 8)"
    with refuses(InvalidInput, message):
        as_images(images, "float32", (1, 30, 31), "x")


@pytest.mark.parametrize(
    ("input_shape", "shape", "message"),
    [
        (
            (3, 5, 4),
            (2, 3, 4, 5),
            "images must have shape (N, 3, 5, 4) or (N, 5, 4, 3), got shape (2, 3, 4, 5)",
        ),
        (
            (1, 28, 28),
            (2, 784),
            "images must have shape (N, 1, 28, 28), (N, 28, 28, 1) or (N, 28, 28),"
            " got shape (2, 784)",
        ),
        (
            (3, 5, 4),
            (3, 5, 4),
            "images must have shape (N, 3, 5, 4) or (N, 5, 4, 3),"
            " got shape (3, 5, 4) (one image: give images[np.newaxis])",
        ),
        (
            (1, 5, 4),
            (5, 4),
            "images must have shape (N, 1, 5, 4), (N, 5, 4, 1) or (N, 5, 4),"
            " got shape (5, 4) (one image: give images[np.newaxis])",
        ),
    ],
)
def test_images_of_another_shape(input_shape, shape, message):
    with refuses(InvalidInput, message):
        as_images(np.zeros(shape), "float32", input_shape)


@pytest.mark.parametrize("dtype", ["int8", "uint64", "int32", "bool"])
def test_labels_become_int32(dtype):
    labels = as_labels(np.array([0, 1, 1], dtype=dtype), 3, 2)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, [0, 1, 1])


def test_one_class_is_refused_only_on_request():
    np.testing.assert_array_equal(as_labels([4, 4], 2, 10), [4, 4])
    with refuses(InvalidInput, "labels must name at least two classes, got only class 4"):
        as_labels([4, 4], 2, 10, several_classes=True)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "y must hold one label for each of the 3 images, got 2"),
        ([[0], [1], [1]], "y must have shape (N,), got shape (3, 1)"),
        ([0, 1, 10], "y must lie in 0..9, got 10 at index 2"),
        ([0, -1, 10], "y must lie in 0..9, got -1 at index 1"),
        ([0.0, 1.0, 2.0], "y must be integers, got dtype float64"),
        (["a", "b", "c"], "y must be integers, got dtype <U1"),
        ([0, [1, 2], 3], "y must be one array of integers, got sequences of unequal lengths"),
    ],
)
def test_what_are_no_labels(labels, message):
    with refuses(InvalidInput, message):
        as_labels(labels, 3, 10, "y")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_normalisation_gives_mean_zero_and_variance_one(dtype):
    bits = np.arange(400 * 2 * 21 * 20, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    images = (bits >> np.uint64(56)).reshape(400, 2, 21, 20).astype(dtype)
    offset, scale = normalisation(images)
    assert offset.dtype == scale.dtype == np.float64
    axes = (0, 2, 3)
    np.testing.assert_allclose(offset, images.mean(axes, dtype=np.float64), rtol=1e-14)
    np.testing.assert_allclose(scale, 1 / images.std(axes, dtype=np.float64), rtol=1e-13)


def test_normalisation_of_uint8_is_correctly_rounded():
    # Mean 1/3 and variance 2/9 in the first channel, 255 and 0 in the second.
    images = np.array([[[[0, 0, 1]], [[255, 255, 255]]]], dtype=np.uint8)
    offset, scale = normalisation(images)
    np.testing.assert_array_equal(offset, [1 / 3, 255.0])
    np.testing.assert_array_equal(scale, [1 / np.sqrt(2 / 9), 1.0])


def test_a_constant_channel_has_scale_one():
    offset, scale = normalisation(np.full((7, 1, 3, 3), 0.1))
    assert (offset[0], scale[0]) == (0.1, 1.0)


def test_a_channel_too_flat_to_invert_has_scale_one():
    images = np.zeros((2, 1, 1, 1))
    images[0] = 1e-300
    assert normalisation(images)[1][0] == 1.0


def test_a_variance_beyond_float64():
    images = np.array([1e200, -1e200]).reshape(2, 1, 1, 1)
    with refuses(InvalidInput, "images must have a finite variance, got inf in channel 0"):
        normalisation(images)


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5)),
)
def test_normalisation_of_uint8_and_float64_agree(images):
    integer, floating = normalisation(images), normalisation(images.astype(np.float64))
    np.testing.assert_allclose(integer, floating, rtol=1e-14)


@given(
    labels=st.lists(st.integers(-3, 3), min_size=2, max_size=60).filter(
        lambda labels: len(set(labels)) < len(labels)
    ),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**64 - 1),
)
def test_every_class_is_split_in_proportion(labels, fraction, seed):
    train, test = stratified_split(labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    array = np.array(labels)
    for label in set(labels):
        members = int((array == label).sum())
        tested = int((array[test] == label).sum())
        if members == 1:
            assert tested == 0
        else:
            assert 1 <= tested <= members - 1
            assert abs(tested - fraction * members) <= 1


def test_the_seed_decides_the_split():
    labels = np.arange(200) % 4
    first, again, other = (stratified_split(labels, 0.25, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("labels", "fraction", "seed", "message"),
    [
        ([0, 0], 0.0, 0, "test_fraction must lie between 0 and 1, both excluded, got 0.0"),
        ([0, 0], 1.0, 0, "test_fraction must lie between 0 and 1, both excluded, got 1.0"),
        ([0, 0], np.nan, 0, "test_fraction must lie between 0 and 1, both excluded, got nan"),
        ([0, 0], 0.5, -1, "seed must lie in 0..2**64 - 1, got -1"),
        ([0, 0], 0.5, 2**64, "seed must lie in 0..2**64 - 1, got 18446744073709551616"),
        (
            [0, 1],
            0.5,
            0,
            "labels must give some class at least two images to split, got one of each",
        ),
    ],
)
def test_what_cannot_be_split(labels, fraction, seed, message):
    with refuses(InvalidInput, message):
        stratified_split(labels, fraction, seed)
