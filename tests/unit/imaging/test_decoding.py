"""Every format and every mode becomes the RGB that a viewer shows."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from lookalike.errors import ImageRejected
from lookalike.imaging import color
from lookalike.imaging.decoding import decode
from lookalike.types import Decoded
from tests.support.drawn_images import encoded as saved

Array = NDArray[Any]


def drawn(width: int = 96, height: int = 64) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width], axis=-1).astype(np.uint8)
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).rectangle((width // 8, height // 8, width // 3, height // 2), fill=(220, 40, 30))
    return image


def difference(a: Array, b: Array) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


def over_white(image: Image.Image) -> Array:
    """Alpha over white by plain arithmetic."""
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def png(width: int, height: int, bits: int, kind: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand, for what Pillow does not write; `rows` include their filter bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    middle = b"".join(chunk(name, body) for name, body in chunks)
    data = chunk(b"IHDR", header) + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


FORMATS = [
    ("JPEG", {"quality": 98, "subsampling": 0}, 1.5),
    ("JPEG", {"quality": 98, "subsampling": 0, "progressive": True}, 1.5),
    ("PNG", {}, 0),
    ("WEBP", {"lossless": True}, 0),
    ("WEBP", {"quality": 95}, 4),
    ("BMP", {}, 0),
    ("TIFF", {}, 0),
    ("TIFF", {"compression": "tiff_lzw"}, 0),
    ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
    ("TIFF", {"big_tiff": True}, 0),
    ("AVIF", {"quality": 95, "subsampling": "4:4:4"}, 3),
    ("HEIF", {"quality": 95, "chroma": 444}, 3),
]


@pytest.mark.parametrize(("kind", "options", "tolerance"), FORMATS)
def test_every_format_shows_the_same_image(kind: str, options: dict[str, Any], tolerance: float) -> None:
    image = drawn()
    result = decode(saved(image, kind, **options))
    assert (result.format, result.width, result.height, result.scale, result.frames) == (kind, 96, 64, 1, 1)
    assert result.rgb.dtype == np.uint8
    assert result.rgb.flags.c_contiguous
    assert difference(result.rgb, np.asarray(image)) <= tolerance


def test_gif_shows_its_palette_colours() -> None:
    image = drawn().quantize(64)
    for interlace in (0, 1):
        result = decode(saved(image, "GIF", interlace=interlace))
        assert np.array_equal(result.rgb, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_only_the_first_frame_is_shown(kind: str) -> None:
    first, others = drawn(), [Image.new("RGB", (96, 64), shade) for shade in ("black", "white", "red")]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    animated = decode(saved(first, kind, save_all=True, append_images=others, **options))
    still = decode(saved(first, kind, **options))
    assert animated.frames == 4
    assert difference(animated.rgb, still.rgb) < 2


def test_mpo_is_the_jpeg_it_starts_with() -> None:
    image = drawn()
    result = decode(saved(image, "MPO", save_all=True, append_images=[Image.new("RGB", (96, 64), "red")]))
    assert result.format == "JPEG"
    assert difference(result.rgb, np.asarray(image)) < 6


def test_jpeg_with_garbage_behind_it_is_accepted() -> None:
    data = saved(drawn(), "JPEG")
    assert np.array_equal(decode(data + b"\0garbage" * 1000).rgb, decode(data).rgb)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_tiny_and_thin_images(kind: str, size: tuple[int, int]) -> None:
    result = decode(saved(Image.new("RGB", size, (10, 200, 90)), kind), box=(1, 1))
    assert (result.width, result.height) == size
    assert difference(result.rgb.reshape(-1, 3)[:1], np.array([[10, 200, 90]])) < 12


# --- modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_alpha_lies_over_white(kind: str) -> None:
    image = drawn()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    options: dict[str, Any] = {"WEBP": {"lossless": True, "exact": True}, "HEIF": {"quality": -1, "chroma": 444}}.get(
        kind, {"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {}
    )
    result = decode(saved(image, kind, **options))
    assert difference(result.rgb, over_white(image)) < (1 if kind in ("PNG", "TIFF", "WEBP") else 3)


def test_bmp_with_and_without_alpha() -> None:
    image = drawn()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    pixels = np.asarray(image)[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = (
        struct.pack("<IiiHHIIiiII", 108, 96, 64, 1, 32, 3, len(pixels), 2835, 2835, 0, 0) + masks + b"BGRs" + bytes(48)
    )
    with_alpha = b"BM" + struct.pack("<IHHI", 14 + 108 + len(pixels), 0, 0, 14 + 108) + header + pixels
    assert difference(decode(with_alpha).rgb, over_white(image)) < 1
    # the fourth byte of a plain 32-bit BMP means nothing, and Pillow writes one
    assert np.array_equal(decode(saved(image, "BMP")).rgb, np.asarray(image)[..., :3])


def test_grey_with_alpha_and_premultiplied_alpha() -> None:
    image = drawn()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    grey = image.convert("LA")
    assert difference(decode(saved(grey, "PNG")).rgb, over_white(grey)) < 1
    # TIFF 6.0: ExtraSamples 1 says that the colours are multiplied by alpha already
    premultiplied = np.asarray(image.convert("RGBa"))
    data = saved(Image.fromarray(premultiplied, "RGBA"), "TIFF")
    before, after = struct.pack("<HHIH", 338, 3, 1, 2), struct.pack("<HHIH", 338, 3, 1, 1)
    assert before in data
    data = data.replace(before, after)
    assert difference(decode(data).rgb, over_white(image)) < 2


def test_transparent_palette_entries() -> None:
    image = drawn().quantize(8)
    alphas = bytes([0, 128, 255, 64, 255, 0, 255, 255])
    shown = image.copy()
    shown.info["transparency"] = alphas
    expected = over_white(shown)
    assert difference(decode(saved(image, "PNG", transparency=alphas)).rgb, expected) < 1
    one = image.copy()
    one.info["transparency"] = 2
    for kind in ("PNG", "GIF"):
        result = decode(saved(image, kind, transparency=2))
        assert difference(result.rgb, over_white(one)) < 1


@pytest.mark.parametrize(
    ("bits", "kind", "row", "key", "expected"),
    [
        (1, 0, b"\x40", b"\0\1", [0, 255, 0, 0]),
        (1, 0, b"\x40", b"\0\0", [0, 255, 0, 0]),  # white alone is seen: on black
        (2, 0, b"\x1b", b"\0\2", [0, 85, 255, 255]),
        (4, 0, b"\x07\xcf", b"\0\x0c", [0, 119, 255, 255]),
        (8, 0, b"\x00\x40\x80\xff", b"\0\x40", [0, 255, 128, 255]),
        (16, 0, b"\x00\x00\x40\x00\x80\x80\xff\xff", b"\x40\x00", [0, 255, 128, 255]),
    ],
)
def test_one_transparent_grey_in_a_png(bits: int, kind: int, row: bytes, key: bytes, expected: list[int]) -> None:
    result = decode(png(4, 1, bits, kind, b"\0" + row, (b"tRNS", key)))
    assert result.rgb[0, :, 0].tolist() == expected
    assert np.ptp(result.rgb, axis=2).max() == 0


@pytest.mark.parametrize("bits", [8, 16])
def test_one_transparent_colour_in_a_png(bits: int) -> None:
    colours = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    row = colours.tobytes() if bits == 8 else (colours.astype(np.uint16) * 257).astype(">u2").tobytes()
    key = np.array([10, 20, 30], np.uint16) * (1 if bits == 8 else 257)
    result = decode(png(2, 1, bits, 2, b"\0" + row, (b"tRNS", key.astype(">u2").tobytes())))
    assert result.rgb[0].tolist() == [[255, 255, 255], [200, 100, 50]]


@pytest.mark.parametrize(("bits", "kind"), [(16, 2), (16, 6), (16, 4), (16, 0)])
def test_sixteen_bits_are_scaled(bits: int, kind: int) -> None:
    channels = {2: 3, 6: 4, 4: 2, 0: 1}[kind]
    values = np.linspace(0, 65535, 64).astype(np.uint16)
    samples = np.repeat(values[:, None], channels, axis=1)
    if channels in (2, 4):
        samples[:, -1] = 65535
    result = decode(png(64, 1, bits, kind, b"\0" + samples.astype(">u2").tobytes()))
    assert np.abs(result.rgb[0, :, 0] - values / 257).max() <= 1


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_wide_greys_of_a_tiff(mode: str) -> None:
    grey = np.asarray(drawn().convert("L"))
    values: Array = grey.astype({"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode])
    image = Image.frombytes(mode, (96, 64), (values * 257).astype(values.dtype).tobytes())
    for compression in ("raw", "tiff_lzw"):
        if mode == "I;16B" and compression == "tiff_lzw":
            continue
        result = decode(saved(image, "TIFF", compression=compression))
        assert difference(result.rgb[..., 0], grey) <= 0.5


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (0, 65535), (-5, 5), (1e6, 3e6), (7, 7)])
def test_floats_find_their_range(low: float, high: float) -> None:
    ramp = np.tile(np.linspace(low, high, 256, dtype=np.float32), (4, 1))
    result = decode(saved(Image.fromarray(ramp), "TIFF"))
    assert result.rgb.shape == (4, 256, 3)
    if high > low:
        assert result.rgb[0, 0].tolist() == [0, 0, 0]
        assert result.rgb[0, -1].tolist() == [255, 255, 255]
        assert difference(result.rgb[0, :, 0], np.arange(256)) < 1


def test_floats_that_are_no_numbers_are_black() -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (4, 1))
    ramp[1, 7], ramp[1, 200], ramp[1, 201] = np.nan, np.inf, -np.inf
    result = decode(saved(Image.fromarray(ramp), "TIFF"))
    assert result.rgb[1, [7, 200, 201], 0].tolist() == [0, 0, 0]
    assert result.rgb[0, 255, 0] == 255


def test_white_is_zero_in_wide_tiffs_too() -> None:
    values = (np.asarray(drawn().convert("L")).astype(np.uint16)) * 257
    data = saved(Image.fromarray(values), "TIFF", tiffinfo={262: 0})
    with Image.open(io.BytesIO(data)) as image:
        assert image.tag_v2[262] == 0  # type: ignore[attr-defined]
    assert difference(decode(data).rgb[..., 0], 255 - np.asarray(drawn().convert("L"))) <= 1


@pytest.mark.parametrize("compression", ["group3", "group4", "raw", "packbits"])
def test_black_and_white_tiffs(compression: str) -> None:
    image = drawn().convert("1")
    result = decode(saved(image, "TIFF", compression=compression))
    assert np.array_equal(result.rgb, np.asarray(image.convert("RGB")))


def test_cmyk_and_lab() -> None:
    image = drawn()
    assert difference(decode(saved(image.convert("CMYK"), "JPEG", quality=98)).rgb, np.asarray(image)) < 3
    assert difference(decode(saved(image.convert("CMYK"), "TIFF")).rgb, np.asarray(image)) < 1
    assert difference(decode(saved(image.convert("LAB"), "TIFF")).rgb, np.asarray(image)) < 2
    assert difference(decode(saved(image.convert("YCbCr"), "TIFF")).rgb, np.asarray(image)) < 2


def thumb(result: Decoded) -> Array:
    return np.asarray(Image.fromarray(result.rgb).resize((64, 64), Image.Resampling.BOX))


def test_one_real_image_in_many_modes(photos: Path) -> None:
    folder = photos / "copies" / "tx_bridge"
    original = thumb(decode((folder / "modes_original.jpg").read_bytes()))
    luma = np.asarray(Image.fromarray(original).convert("L"))
    paths = sorted(folder.glob("modes_*"))
    assert len(paths) == 10
    for path in paths:
        this = thumb(decode(path.read_bytes()))
        if np.ptp(this, axis=2).max() < 12:  # the modes 1, I and F were written without colours
            assert difference(this[..., 0], luma) < 2, path.name
        else:
            assert difference(this, original) < 1, path.name


# --- colour profiles -------------------------------------------------------------------------------------------------


def swapped_profile() -> bytes:
    """An RGB profile whose red and blue primaries have changed places, so that it cannot be overlooked."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * struct.unpack_from(">I", data, 128)[0], 12):
        tag = bytes(data[at : at + 4])
        data[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(tag, tag)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_an_embedded_profile_is_applied(kind: str) -> None:
    image = drawn()
    plain = decode(saved(image, kind)).rgb
    result = decode(saved(image, kind, icc_profile=swapped_profile()))
    assert difference(result.rgb, plain[..., ::-1]) < 3


def test_the_profile_also_counts_under_alpha_in_palettes_and_for_luma() -> None:
    image = drawn()
    clear = image.copy()
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    profile = swapped_profile()
    assert difference(decode(saved(clear, "PNG", icc_profile=profile)).rgb, over_white(clear)[..., ::-1]) < 2
    few = image.quantize(32)
    swapped = np.asarray(few.convert("RGB"))[..., ::-1]
    assert difference(decode(saved(few, "PNG", icc_profile=profile)).rgb, swapped) < 2
    jpeg = saved(image, "JPEG", icc_profile=profile)
    luma = np.asarray(Image.fromarray(decode(jpeg).rgb).convert("L"))
    assert difference(decode(jpeg, grey=True).rgb, luma) < 1


@pytest.mark.parametrize("profile", [b"no profile at all", b"\0" * 3000, swapped_profile()[:300]])
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    image = drawn()
    for kind in ("PNG", "JPEG", "TIFF"):
        assert np.array_equal(decode(saved(image, kind, icc_profile=profile)).rgb, decode(saved(image, kind)).rgb)


def test_a_profile_for_other_colours_is_ignored() -> None:
    image = drawn()
    for other in (image.convert("L"), image.convert("CMYK")):
        with_profile = decode(saved(other, "JPEG", icc_profile=swapped_profile()))
        assert np.array_equal(with_profile.rgb, decode(saved(other, "JPEG")).rgb)


def test_srgb_is_recognised_by_its_colours() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert not color.changes_colors(srgb, "RGB")
    assert color.changes_colors(swapped_profile(), "RGB")
    assert not color.changes_colors(None, "RGB")


def icc(space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A minimal profile (ICC.1:2001-04): a header, the table of its tags, and their data."""
    header = bytearray(128)
    struct.pack_into(">I", header, 8, 0x02400000)
    header[12:24] = b"prtr" + space + pcs
    header[36:40] = b"acsp"
    struct.pack_into(">III", header, 68, 0xF6D6, 0x10000, 0xD32D)
    table, data, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        padded = body + bytes(-len(body) % 4)
        table += name + struct.pack(">II", at + len(data), len(body))
        data += padded
    struct.pack_into(">I", header, 0, at + len(data))
    return bytes(header) + table + data


def test_a_grey_profile_is_applied() -> None:
    linear = icc(b"GRAY", b"XYZ ", {b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, 1 << 8)})
    grey = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (8, 1)))
    result = decode(saved(grey, "PNG", icc_profile=linear))
    light = np.arange(256) / 255
    srgb = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255  # IEC 61966-2-1
    assert np.abs(result.rgb[0, 10:, 0] - srgb[10:]).max() < 2  # Little CMS interpolates, coarsely so near black


def test_a_press_profile_is_applied_to_cmyk() -> None:
    """A press whose cyan ink is as black as its black, and whose other inks leave no trace."""
    light = [0 if cyan or black else 255 for cyan in (0, 1) for _ in range(4) for black in (0, 1)]
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(0x10000 * (i % 4 == 0) for i in range(9)))
    lut += identity * 4 + b"".join(bytes([value, 128, 128]) for value in light) + identity * 3
    press = icc(b"CMYK", b"Lab ", {b"A2B0": lut})
    inks = np.zeros((32, 64, 4), np.uint8)
    inks[:, :16, 0], inks[:, 16:32, 1], inks[:, 32:48, 3] = 255, 255, 255
    for kind in ("JPEG", "TIFF"):
        result = decode(saved(Image.fromarray(inks, "CMYK"), kind, icc_profile=press))
        assert result.rgb[16, [8, 24, 40, 56]].max(axis=1).tolist() == pytest.approx([0, 255, 0, 255], abs=3)


def test_an_interlaced_png() -> None:
    pixels = np.asarray(drawn(21, 13))
    rows = b""
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[y::dy, x::dx])  # Adam7
    data = bytearray(png(21, 13, 8, 2, rows))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert np.array_equal(decode(bytes(data)).rgb, pixels)


# --- orientation -----------------------------------------------------------------------------------------------------

TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    image = drawn()
    turn = TURNS[orientation]
    stored = image if turn is None else image.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = decode(saved(stored, kind, exif=exif.tobytes() if kind == "HEIF" else exif))
    assert (result.width, result.height) == (96, 64)
    assert difference(result.rgb, np.asarray(image)) < 6


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0" + b"\xff" * 400, b"x"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_wrong_exif_is_ignored(kind: str, exif: bytes) -> None:
    result = decode(saved(drawn(), kind, exif=exif))
    assert np.array_equal(result.rgb, decode(saved(drawn(), kind)).rgb)


# --- reduced scale and luma ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "scale"),
    [(None, 1), ((640, 427), 1), ((321, 10), 1), ((320, 213), 2), ((160, 106), 4), ((80, 53), 8), ((1, 1), 8)],
)
def test_jpeg_is_reduced_no_further_than_the_box(box: tuple[int, int] | None, scale: int) -> None:
    data = saved(drawn(640, 427), "JPEG")
    result = decode(data, box=box)
    assert result.scale == scale
    assert (result.width, result.height) == (640, 427)
    assert result.rgb.shape == (-(-427 // scale), -(-640 // scale), 3)


def test_the_box_is_meant_as_a_viewer_shows_the_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(drawn(640, 400), "JPEG", exif=exif)
    result = decode(data, box=(100, 160))
    assert (result.width, result.height, result.scale) == (400, 640, 4)
    assert result.rgb.shape == (160, 100, 3)
    assert decode(data, box=(160, 100)).scale == 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_luma_alone(kind: str) -> None:
    data = saved(drawn(), kind)
    luma = decode(data, grey=True)
    expected = np.asarray(Image.fromarray(decode(data).rgb).convert("L"))
    assert luma.rgb.dtype == np.uint8
    assert luma.rgb.flags.c_contiguous
    assert luma.scale == 1
    assert difference(luma.rgb, expected) < 1
    grey = decode(saved(drawn().convert("L"), kind), grey=True)
    assert difference(grey.rgb, np.asarray(drawn().convert("L"))) < 2


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    image = drawn()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    files = [
        saved(image, "PNG", icc_profile=swapped_profile()),
        saved(image.convert("L").convert("F"), "TIFF"),
        saved(image.quantize(9), "PNG"),
        saved(image.convert("CMYK"), "TIFF"),
    ]
    whole = [(decode(data).rgb, decode(data, grey=True).rgb) for data in files]
    monkeypatch.setattr(color, "STRIP_PIXELS", 500)
    for data, (rgb, luma) in zip(files, whole, strict=True):
        assert np.array_equal(decode(data).rgb, rgb)
        assert np.array_equal(decode(data, grey=True).rgb, luma)


def test_warnings_stay_inside() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x0e\x01\x02\0\xff\0\0\0\xff\xff\0\0"
    data = saved(drawn(), "TIFF")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        decode(saved(drawn(), "JPEG", exif=exif))
        with pytest.raises(ImageRejected):
            decode(data[:40])
        assert warnings.filters == filters
    assert caught == []


def test_threads_may_decode_at_once() -> None:
    files = [saved(drawn(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF")] * 20
    alone = [decode(data).rgb for data in files]
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode(data).rgb, files))
    assert warnings.filters == filters
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
