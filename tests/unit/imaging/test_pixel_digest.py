"""Two files have the same digest of pixels exactly where a viewer can see no difference in any frame."""

import hashlib
import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.imaging import prepare
from lookalike.imaging.decoding import decode
from lookalike.imaging.limits import Limits
from tests.support.drawn_images import drawn, encoded

WIDE = 1_000_000


def digest(data: bytes, most: int = WIDE) -> bytes | None:
    return decode(data, digest_pixels=most).pixels


def png_16(values: NDArray[Any]) -> bytes:
    """A PNG of 16 bits a channel, `(height, width, channels)` uint16, which Pillow does not write."""
    import zlib  # noqa: PLC0415

    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_16(values: NDArray[Any], compression: int = 1) -> bytes:
    """A TIFF of 16-bit RGB in one strip."""
    import zlib  # noqa: PLC0415

    height, width, channels = values.shape
    strip = values.astype("<u2").tobytes()
    strip = zlib.compress(strip) if compression == 8 else strip
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 2),
        (273, 4, 1, 14),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, 1, len(strip)),
    ]
    bits = struct.pack("<3H", 16, 16, 16)
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", 14 + len(strip)) + bits + strip + directory


def frames(seeds: list[int], kind: str, **options: Any) -> bytes:
    first, *others = [drawn(seed) for seed in seeds]
    return encoded(first, kind, save_all=True, append_images=others, **options)


def transparent(seed: int, alpha_seed: int) -> Image.Image:
    image = drawn(seed)
    image.putalpha(drawn(alpha_seed).convert("L"))
    return image


def test_an_opaque_image_of_8_bits_keeps_the_digest_of_its_pixels() -> None:
    image = drawn(1)
    expected = hashlib.sha256(struct.pack("<II", *image.size) + image.tobytes()).digest()
    opaque = image.convert("RGBA")
    for data in (encoded(image), encoded(image, "BMP"), encoded(image, "TIFF"), encoded(opaque)):
        assert digest(data) == expected
        assert prepare(data, ()).pixels == expected


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_counts(kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    one, same, other = (encoded(transparent(1, seed), kind, **options) for seed in (2, 2, 3))
    assert digest(one) == digest(same)
    assert digest(one) not in (digest(other), digest(encoded(drawn(1), kind, **options)), None)
    assert digest(one) == digest(encoded(transparent(1, 2), "PNG"))


def test_white_drawings_on_transparency_differ() -> None:
    found = set()
    for seed in range(4):
        image = Image.new("RGBA", (160, 120), "white")
        image.putalpha(drawn(seed).convert("L"))
        found.add(digest(encoded(image)))
    assert len(found) == 4


def test_what_cannot_be_seen_does_not_count() -> None:
    image, other = transparent(1, 2), transparent(3, 2)
    clear = np.asarray(image).copy()
    clear[:, :80, 3] = 0
    hidden = clear.copy()
    hidden[:, :80, :3] = np.asarray(other)[:, :80, :3]
    assert digest(encoded(Image.fromarray(clear))) == digest(encoded(Image.fromarray(hidden)))


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_every_frame_counts(kind: str, options: dict[str, Any]) -> None:
    whole = frames([1, 2, 3], kind, **options)
    assert digest(whole) == digest(frames([1, 2, 3], kind, **options))
    others = [frames(seeds, kind, **options) for seeds in ([1, 2, 4], [1, 2], [1, 3, 2], [1, 2, 3, 4])]
    still = encoded(drawn(1), kind, **options)
    assert len({digest(whole), digest(still), *map(digest, others)}) == 6
    assert decode(whole).frames == 3


def test_the_images_of_an_mpo_are_frames() -> None:
    whole, other = frames([1, 2], "MPO"), frames([1, 3], "MPO")
    assert decode(whole).frames == decode(whole, grey=True, box=(8, 8)).frames == 2
    assert len({digest(whole), digest(other), digest(encoded(drawn(1), "JPEG"))}) == 3


def test_durations_count() -> None:
    slow, fast = (frames([1, 2], "GIF", duration=ms) for ms in (500, 50))
    assert digest(slow) != digest(fast)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_low_bits_count_in_a_png(channels: int) -> None:
    values = np.random.default_rng(5).integers(0, 65536, (20, 30, channels)).astype(np.uint16)
    changed = values.copy()
    changed[7, 9, channels - 1] ^= 1
    assert digest(png_16(values)) == digest(png_16(values.copy())) != digest(png_16(changed))
    assert digest(png_16(values)) is not None


@pytest.mark.parametrize("compression", [1, 8])
def test_low_bits_count_in_a_tiff(compression: int) -> None:
    values = np.random.default_rng(6).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    changed = values.copy()
    changed[7, 9, 1] ^= 1
    one, other = (digest(tiff_16(each, compression)) for each in (values, changed))
    assert None not in (one, other)
    assert one != other


def test_16_bits_are_not_8_bits() -> None:
    grey = np.asarray(drawn(1).convert("L"))
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    assert digest(encoded(wide)) != digest(encoded(Image.fromarray(grey)))
    assert digest(encoded(wide)) == digest(encoded(wide, compress_level=1))


def test_bits_that_no_reader_gives_are_no_digest() -> None:
    deep = frames_of_10_bits()
    assert decode(deep, digest_pixels=WIDE).pixels is None


def frames_of_10_bits() -> bytes:
    """A HEIC of 10 bits, of which its reader gives 8."""
    import pillow_heif  # noqa: PLC0415

    values = np.random.default_rng(1).integers(0, 1024, (64, 64, 3)).astype(np.uint16) << 6
    out = io.BytesIO()
    pillow_heif.encode(mode="RGB;16", size=(64, 64), data=values.tobytes(), fp=out, quality=90)
    return out.getvalue()


def test_turned_copies_have_the_digest_of_what_is_shown() -> None:
    image = transparent(1, 2)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(image.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert digest(turned) == digest(encoded(image))


def test_many_frames_are_read_on_request_only() -> None:
    data = frames([1, 2, 3], "GIF")
    assert digest(data, 160 * 120 * 3 - 1) is None
    assert digest(data, 160 * 120 * 3) is not None
    assert digest(encoded(drawn(1)), 1) is not None  # it costs nothing beside decoding


def test_a_damaged_frame_is_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    data = frames([1, 2, 3], "TIFF")
    cut = decode(data[: len(data) - 400], digest_pixels=WIDE)
    assert cut.pixels is None
    assert cut.truncated


def test_time_is_limited_between_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Callable[[], float] = iter(range(100)).__next__
    monkeypatch.setattr("lookalike.imaging.limits.monotonic", clock)
    monkeypatch.setattr("lookalike.imaging.decoding.monotonic", lambda: 0.0)
    with pytest.raises(Exception, match="longer than the limit"):
        decode(frames([1, 2, 3, 4, 5, 6, 7, 8], "GIF"), digest_pixels=WIDE, limits=Limits(seconds=7))
