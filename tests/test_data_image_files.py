import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convprop import data
from convprop.data.image_files import read_file, resize_images, to_array
from convprop.errors import DataError, InvalidInput
from refusal import refuses

GREY = (np.arange(5 * 7, dtype=np.uint8) * 7).reshape(5, 7)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=2)
ORIENTATION = 0x0112


def save(path, pixels=COLOUR, mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.TIFF", "a.webp"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_formats(tmp_path, name, pixels):
    options = {"lossless": True} if name.endswith("webp") else {}
    image = read_file(save(tmp_path / name, pixels, **options), channels=3)
    expected = np.broadcast_to(pixels[..., np.newaxis], (5, 7, 3)) if pixels is GREY else pixels
    np.testing.assert_array_equal(to_array(image), expected.transpose(2, 0, 1))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpeg(tmp_path, name):
    pixels = np.full((16, 8, 3), (200, 60, 20), dtype=np.uint8)
    array = to_array(read_file(save(tmp_path / name, pixels, quality=95)))
    assert array.shape == (3, 16, 8)
    assert np.abs(array.astype(int) - np.array([200, 60, 20])[:, None, None]).max() <= 3


def test_the_format_is_known_by_the_bytes(tmp_path):
    path = save(tmp_path / "a.png", format="BMP")
    np.testing.assert_array_equal(to_array(read_file(path)), COLOUR.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)]
)
def test_grey_stays_grey_and_all_else_becomes_rgb(tmp_path, mode, channels):
    image = read_file(save(tmp_path / "a.png", mode=mode))
    assert to_array(image).shape == (channels, 5, 7)


def test_cmyk_becomes_rgb(tmp_path):
    path = save(tmp_path / "a.tif", mode="CMYK")
    np.testing.assert_allclose(to_array(read_file(path)), COLOUR.transpose(2, 0, 1), atol=2)


def test_a_palette_gives_its_colours(tmp_path):
    image = Image.fromarray(GREY % 2, mode=None)
    image = image.convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    array = to_array(read_file(save(tmp_path / "a.png", image)))
    np.testing.assert_array_equal(array[:, 0, :2], [[10, 40], [20, 50], [30, 60]])


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("LA", (40, 0), [255]),
        ("LA", (40, 255), [40]),
        ("RGBA", (10, 20, 30, 0), [255, 255, 255]),
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("RGBA", (0, 0, 0, 51), [204, 204, 204]),
    ],
)
def test_transparency_is_laid_over_white(tmp_path, mode, pixel, expected):
    path = save(tmp_path / "a.png", Image.new(mode, (2, 2), pixel))
    assert to_array(read_file(path))[:, 0, 0].tolist() == expected


def test_a_transparent_colour_is_laid_over_white(tmp_path):
    path = save(tmp_path / "a.png", GREY, transparency=7)
    array = to_array(read_file(path))
    assert array.shape == (1, 5, 7)
    assert array[0, 0, :3].tolist() == [0, 255, 14]


def test_four_channels_keep_the_transparency(tmp_path):
    path = save(tmp_path / "a.png", Image.new("RGBA", (2, 2), (1, 2, 3, 4)))
    assert to_array(read_file(path, 4))[:, 0, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_exif_orientation_turns_the_image(tmp_path, name):
    pixels = np.zeros((8, 16), dtype=np.uint8)
    pixels[:, 8:] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # The stored image is to be turned clockwise by a quarter.
    array = to_array(read_file(save(tmp_path / name, pixels, exif=exif), channels=1))
    assert array.shape == (1, 16, 8)
    np.testing.assert_allclose(array[0], np.repeat(np.repeat([[0], [255]], 8, 0), 8, 1), atol=4)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits(tmp_path, name):
    path = save(tmp_path / name, GREY.astype(np.uint16) * 256)
    with refuses(
        DataError, f"{path} must have 8 bits a channel (others fit in an .npz file), got more"
    ):
        read_file(path)


def test_sixteen_bits_of_colour(tmp_path):
    def block(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + block(b"IHDR", struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0))
        + block(b"IDAT", zlib.compress(bytes(7)))
        + block(b"IEND", b"")
    )
    with refuses(
        DataError, f"{path} must have 8 bits a channel (others fit in an .npz file), got more"
    ):
        read_file(path)


def test_floating_point_pixels(tmp_path):
    path = save(tmp_path / "a.tif", GREY.astype(np.float32))
    with refuses(
        DataError, f"{path} must have 8 bits a channel (others fit in an .npz file), got more"
    ):
        read_file(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_several_frames(tmp_path, name):
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    path = save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
    with refuses(DataError, f"{path} must hold one picture, got 2 frames"):
        read_file(path)


def test_the_first_picture_of_a_camera_file(tmp_path):
    # Phones write a preview behind the photograph (MPO), under the name of a JPEG file.
    photograph, preview = Image.new("RGB", (8, 8), (90, 0, 0)), Image.new("RGB", (4, 4))
    path = save(
        tmp_path / "a.jpg", photograph, format="MPO", save_all=True, append_images=[preview]
    )
    assert to_array(read_file(path)).shape == (3, 8, 8)


@pytest.mark.parametrize("factor", [1.5, 3.0])
def test_decompression_bombs(tmp_path, monkeypatch, factor):
    path = save(tmp_path / "a.png")
    most = int(35 / factor)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with refuses(DataError, f"{path} must have at most {most} pixels, got more"):
        read_file(path)


@pytest.mark.parametrize("content", [b"", b"no image", b"GIF89a" + bytes(40)])
def test_what_is_no_image(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with refuses(
        DataError, f"{path} must be a PNG, JPEG, BMP, TIFF or WebP image, got something else"
    ):
        read_file(path)


def test_a_cut_image(tmp_path):
    path = save(tmp_path / "a.bmp")
    path.write_bytes(path.read_bytes()[:-40])
    with refuses(
        DataError,
        f"{path} must be a readable image, got an error:"
        " image file is truncated (8 bytes not processed)",
    ):
        read_file(path)


def test_a_file_that_cannot_be_opened(tmp_path):
    path = tmp_path / "a.png"
    path.mkdir()
    with refuses(DataError, f"{path} must be a readable image, got an error: Is a directory"):
        read_file(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"]),
    position=st.integers(0, 10**6),
    value=st.integers(0, 255),
    keep=st.integers(0, 10**6),
)
def test_damage_is_read_or_refused(tmp_path, name, position, value, keep):
    path = save(tmp_path / name)
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] = value
    path.write_bytes(raw[: 1 + keep % (2 * len(raw))])
    try:
        read_file(path)
    except DataError as error:
        assert str(error).startswith(f"{path} must ")


def test_resizing_averages(tmp_path):
    images = np.zeros((1, 2, 4, 4), dtype=np.uint8)
    images[:, 0, :, 2:] = 200
    assert resize_images(images, (4, 4)) is images
    small = resize_images(images, (2, 2))
    assert small.shape == (1, 2, 2, 2)
    assert small.dtype == np.uint8
    assert small[0, 0, 0, 0] < 60 < 140 < small[0, 0, 0, 1]
    floating = resize_images(images.astype(np.float64), (2, 2))
    assert floating.dtype == np.float64
    np.testing.assert_allclose(floating, small, atol=0.51)


def test_reading_files_for_a_model(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    files = [
        save(tmp_path / "a.png"),
        save(tmp_path / "b" / "B.png"),
        save(tmp_path / "b" / "a.png"),
        save(tmp_path / "b" / "deep" / "a.jpg"),
        save(tmp_path / "b" / "z.webp"),
    ]
    save(tmp_path / ".hidden" / "a.png")
    (tmp_path / "b" / "notes.txt").write_text("left out")
    chunks = list(data.read_images([tmp_path, files[0]], (1, 5, 7), chunk=4))
    assert [len(images) for images, _ in chunks] == [4, 2]
    assert [name for _, names in chunks for name in names] == [str(f) for f in [*files, files[0]]]
    luminance = np.asarray(Image.fromarray(COLOUR).convert("L"))
    np.testing.assert_array_equal(chunks[0][0][0, 0], luminance)
    np.testing.assert_array_equal(chunks[1][0][1, 0], luminance)
    assert all(images.dtype == np.uint8 for images, _ in chunks)


@pytest.mark.parametrize("count", [2, 4])
def test_a_chunk_that_files_fill_exactly(tmp_path, count):
    files = [save(tmp_path / f"{i}.png") for i in range(count)]
    chunks = list(data.read_images(files, (3, 5, 7), chunk=2))
    assert [len(images) for images, _ in chunks] == [2] * (count // 2)


def test_another_size_is_refused_or_resized(tmp_path):
    path = save(tmp_path / "a.png")
    with refuses(
        DataError,
        f"{path} must be 28 x 28 pixels (height x width) as the model's input, or be resized,"
        " got 5 x 7",
    ):
        list(data.read_images([path], (1, 28, 28)))
    [(images, _)] = data.read_images([path], (1, 28, 28), resize=True)
    assert images.shape == (1, 1, 28, 28)


def test_unreadable_files_are_listed(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    with refuses(
        DataError,
        f"{tmp_path / 'b.png'} must be a PNG, JPEG, BMP, TIFF or WebP image, got something else",
    ):
        list(data.read_images([tmp_path], (3, 5, 7)))
    skipped = []
    [(images, names)] = data.read_images([tmp_path], (3, 5, 7), skipped=skipped)
    assert len(images) == 1
    assert names == [str(tmp_path / "a.png")]
    assert skipped == [str(tmp_path / "b.png")]


def test_no_image_at_all(tmp_path):
    with refuses(DataError, "files must name at least one readable image, got none"):
        list(data.read_images([tmp_path], (3, 5, 7)))


def test_a_path_that_does_not_exist(tmp_path):
    with refuses(DataError, f"{tmp_path / 'a.png'} must be a file or a folder, got neither"):
        list(data.read_images([tmp_path / "a.png"], (3, 5, 7)))


def test_an_empty_path_is_not_this_folder():
    with refuses(DataError, "'' must be a file or a folder, got neither"):
        list(data.read_images([""], (3, 5, 7)))


def test_a_model_that_takes_no_images(tmp_path):
    with refuses(
        InvalidInput, "input_shape must have 1, 3 or 4 channels to take image files, got 16"
    ):
        list(data.read_images([tmp_path], (16, 5, 7)))
