"""Files that are empty, foreign, cut short, lying or too much are rejected with the right reason and a remedy."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookalike.errors import BadSetting, ImageRejected
from lookalike.imaging import formats
from lookalike.imaging.decoding import decode
from lookalike.imaging.limits import Limits
from tests.support.drawn_images import encoded as saved


def drawn(width: int = 90, height: int = 70) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, x * y % 256], axis=-1).astype(np.uint8))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    idat = chunk(b"IDAT", data or zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + idat + chunk(b"IEND", b"")


def rejected(data: bytes, limits: Limits = Limits()) -> ImageRejected:  # noqa: B008 - frozen
    with pytest.raises(ImageRejected) as caught:
        decode(data, limits=limits)
    assert str(caught.value).endswith(".")
    assert ":" in str(caught.value), "what it is, then the remedy"
    return caught.value


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("image.jpg", saved(drawn(), "JPEG"))
    return out.getvalue()


FOREIGN = [
    (b"", "empty", "empty"),
    (b"Dear reader,\nthis is no image.\n", "not_an_image", "text"),
    ("Grüße aus Köln".encode(), "not_an_image", "text"),
    (b"\xff\xd8", "not_an_image", "unknown file signature"),
    (b"\0" * 5000, "not_an_image", "unknown file signature"),
    (bytes(range(256)), "not_an_image", "unknown file signature"),
    (b"%PDF-1.7\n1 0 obj", "not_an_image", "PDF"),
    (zipped(), "not_an_image", "ZIP"),
    (b"<!DOCTYPE html><html><body>404 not found</body></html>", "not_an_image", "web page"),
    (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9"/>', "unsupported", "SVG"),
    (b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(100), "not_an_image", "video"),
    (b"\0\0\0\x14ftypmif1\0\0\0\0mif1" + bytes(100), "unsupported", "HEIF"),
    (b"8BPS\0\2" + bytes(100), "unsupported", "Photoshop"),
    (b"P5 is a text that begins like a greymap.", "not_an_image", "text"),
    (b"8BPS\0\1" + bytes(100), "damaged", "PSD"),
    (b"FUJIFILMCCD-RAW " + bytes(5000), "unsupported", "camera raw"),
]


@pytest.mark.parametrize(("data", "reason", "named"), FOREIGN)
def test_foreign_files_are_named(data: bytes, reason: str, named: str) -> None:
    error = rejected(data)
    assert error.reason == reason
    assert named in str(error)


def test_only_the_bytes_say_what_it_is() -> None:
    """A reader never sees a file of another format: an EPS or a WMF behind an image's name runs no other code."""
    loaded = "import sys; from lookalike.imaging import decode; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"PIL.EpsImagePlugin", "PIL.FpxImagePlugin", "PIL.WmfImagePlugin", "PIL.FitsImagePlugin"} & set(modules)


WHOLE = {
    "JPEG": saved(drawn(), "JPEG"),
    "progressive JPEG": saved(drawn(), "JPEG", progressive=True),
    "CMYK JPEG": saved(drawn().convert("CMYK"), "JPEG"),
    "PNG": saved(drawn(), "PNG"),
    "palette PNG": saved(drawn().quantize(16), "PNG"),
    "APNG": saved(drawn(), "PNG", save_all=True, append_images=[drawn().rotate(90)]),
    "WebP": saved(drawn(), "WEBP"),
    "lossless WebP": saved(drawn().convert("RGBA"), "WEBP", lossless=True),
    "animated WebP": saved(drawn(), "WEBP", save_all=True, append_images=[drawn().rotate(90)]),
    "GIF": saved(drawn(), "GIF"),
    "BMP": saved(drawn(), "BMP"),
    "TIFF": saved(drawn(), "TIFF"),
    "LZW TIFF": saved(drawn(), "TIFF", compression="tiff_lzw"),
    "JPEG TIFF": saved(drawn(), "TIFF", compression="jpeg"),
    "G4 TIFF": saved(drawn().convert("1"), "TIFF", compression="group4"),
    "AVIF": saved(drawn(), "AVIF", speed=9),
    "HEIC": saved(drawn(), "HEIF"),
}


RECOVERED = {
    "JPEG",
    "progressive JPEG",
    "CMYK JPEG",
    "PNG",
    "palette PNG",
    "APNG",
    "GIF",
    "BMP",
    "TIFF",
    "WebP",
    "lossless WebP",
    "animated WebP",
}
"""Of these, what is there is read; readers of the others give nothing of a file that ends early."""


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_cut_short_is_marked_or_rejected(name: str) -> None:
    data = WHOLE[name]
    whole = decode(data, digest_pixels=1_000_000)
    reasons, partial = set(), 0
    cuts = [*range(16, len(data), max(1, len(data) // 60)), *range(len(data) - 12, len(data))]
    for cut in cuts:
        try:
            result = decode(data[:cut], digest_pixels=1_000_000)
        except ImageRejected as error:
            reasons.add(error.reason)
            continue
        assert (result.width, result.height) == (whole.width, whole.height)
        if result.truncated:
            partial += 1
            assert result.pixels is None, "the digest of half an image"
        else:
            assert np.array_equal(result.rgb, whole.rgb), f"half an image was accepted, cut at {cut} of {len(data)}"
            assert result.pixels == whole.pixels
    assert reasons == {"truncated"}
    assert (partial > len(cuts) // 4) == (name in RECOVERED)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_the_rows_before_the_cut_are_those_of_the_whole_image(name: str) -> None:
    data = saved(drawn(), "GIF", interlace=0) if name == "GIF" else WHOLE[name]
    whole, half = decode(data).rgb, decode(data[: len(data) * 2 // 3])
    assert half.truncated
    upside_down = name == "BMP"
    rows = slice(50, 70) if upside_down else slice(0, 16)
    assert np.array_equal(half.rgb[rows], whole[rows])


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE)
def test_pixels_are_limited_by_the_header(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = WHOLE[name]
    assert decode(data, limits=Limits(max_pixels=6300)).width == 90
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("pixels were decoded"))
    error = rejected(data, Limits(max_pixels=6299))
    assert error.reason == "too_many_pixels"
    assert "90 x 70" in str(error)
    assert "6,299" in str(error)
    assert rejected(data, Limits(min_side=71)).reason == "too_small"


def test_bytes_are_limited() -> None:
    data = WHOLE["JPEG"]
    assert decode(data, limits=Limits(max_bytes=len(data))).width == 90
    error = rejected(data, Limits(max_bytes=len(data) - 1))
    assert error.reason == "too_many_bytes"
    assert f"{len(data) - 1:,}" in str(error)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_frames_are_counted_without_decoding_them(kind: str) -> None:
    others = [Image.new("RGB", (24, 16), (shade * 40, 9, 200 - shade * 40)) for shade in range(6)]
    data = saved(drawn(24, 16), kind, save_all=True, append_images=others)
    assert decode(data, limits=Limits(max_frames=7)).frames == 7
    assert rejected(data, Limits(max_frames=6)).reason == "too_many_frames"


def test_a_gif_of_very_many_frames_and_a_tiff_that_runs_in_circles() -> None:
    gif = saved(drawn(16, 16), "GIF")
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    assert decode(gif[:-1] + frame * 3000 + b";").frames == 3001
    assert rejected(gif[:-1] + frame * 300_000 + b";").reason == "too_many_frames"
    tiff = bytearray(saved(drawn(16, 16), "TIFF"))
    first = struct.unpack_from("<I", tiff, 4)[0]
    link = first + 2 + 12 * struct.unpack_from("<H", tiff, first)[0]
    struct.pack_into("<I", tiff, link, first)
    assert decode(bytes(tiff)).frames == 1


def test_time_is_limited() -> None:
    error = rejected(WHOLE["JPEG"], Limits(seconds=1e-9))
    assert error.reason == "timeout"


@pytest.mark.parametrize("name", ["max_bytes", "max_pixels", "max_frames", "min_side", "seconds", "max_memory"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(BadSetting, match=name):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_the_globals_of_pillow_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # an embedding program that is stricter than we are
    for name in ("JPEG", "PNG", "GIF", "BMP", "HEIC"):
        assert decode(WHOLE[name]).width == 90
    assert rejected(WHOLE["TIFF"]).reason == "too_many_pixels"
    assert Image.MAX_IMAGE_PIXELS == 100
    assert "HEIF" not in Image.OPEN


# --- bombs and lies --------------------------------------------------------------------------------------------------

MEASURED = """
import resource, sys
from lookalike.errors import ImageRejected
from lookalike.imaging.decoding import decode
data = sys.stdin.buffer.read()
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    decode(data)
except ImageRejected as error:
    print(error.reason, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
"""


def webp_bomb() -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16383).to_bytes(3, "little") * 2
    body += b"VP8 " + struct.pack("<I", 10) + bytes(10)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def tiff_bomb() -> bytes:
    data = saved(drawn(), "TIFF", compression="tiff_lzw")
    for tag, size in ((256, 90), (257, 70)):
        for kind, layout in ((3, "<HHIHxx"), (4, "<HHII")):
            data = data.replace(struct.pack(layout, tag, kind, 1, size), struct.pack("<HHII", tag, 4, 1, 60_000))
    return data


def bmp_bomb() -> bytes:
    data = bytearray(saved(drawn(), "BMP"))
    struct.pack_into("<ii", data, 18, 60_000, 60_000)
    return bytes(data)


def jpeg_bomb() -> bytes:
    data = saved(drawn(), "JPEG")
    return data.replace(struct.pack(">HH", 70, 90), struct.pack(">HH", 65_000, 65_000))


BOMBS = {
    "PNG": png(60_000, 60_000, data=zlib.compress(bytes(10_000_000))),
    "GIF": b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + saved(drawn(), "GIF")[10:],
    "WebP": webp_bomb(),
    "TIFF": tiff_bomb(),
    "BMP": bmp_bomb(),
    "JPEG": jpeg_bomb(),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory by /proc and RLIMIT_AS")
def test_a_bomb_of_60000_by_60000_costs_no_memory(name: str) -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], input=BOMBS[name], capture_output=True, check=True, env=environment
    )
    reason, kilobytes = done.stdout.decode().split()
    assert reason == "too_many_pixels"
    assert int(kilobytes) < 16 * 1024


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_bomb_in_a_chunk_beside_the_pixels(name: bytes) -> None:
    packed = zlib.compress(bytes(50_000_000), 9)
    body = b"note\0\1\0\0\0" + packed if name == b"iTXt" else b"note\0\0" + packed
    rows = zlib.compress(bytes(range(49)) * 16)
    result = decode(png(16, 16, chunk(name, body), data=rows))
    assert not result.truncated
    assert np.array_equal(result.rgb, decode(png(16, 16, data=rows)).rgb)


def test_declared_sizes_that_lie() -> None:
    assert rejected(png(500, 500, data=zlib.compress(bytes(100)))).reason in ("truncated", "damaged")
    bmp = bytearray(WHOLE["BMP"])
    struct.pack_into("<i", bmp, 22, 700)
    assert decode(bytes(bmp)).truncated
    assert rejected(png(0, 5)).reason == "damaged"
    jpeg = WHOLE["JPEG"].replace(struct.pack(">HH", 70, 90), struct.pack(">HH", 0, 90))
    assert rejected(jpeg).reason in ("damaged", "truncated")


def test_a_tiff_that_points_beyond_the_file() -> None:
    data = bytearray(WHOLE["TIFF"])
    struct.pack_into("<I", data, 4, 0x7FFFFFF0)
    assert rejected(bytes(data)).reason == "truncated"
    data = bytearray(WHOLE["LZW TIFF"])
    first = struct.unpack_from("<I", data, 4)[0]
    for at in range(first + 2, first + 2 + 12 * struct.unpack_from("<H", data, first)[0], 12):
        if struct.unpack_from("<H", data, at)[0] == 273:
            struct.pack_into("<I", data, at + 8, 0x7FFFFFF0)
    assert rejected(bytes(data)).reason == "truncated"


def test_a_gif_frame_larger_than_its_canvas() -> None:
    data = bytearray(WHOLE["GIF"])
    struct.pack_into("<HH", data, 6, 10, 10)
    result = decode(bytes(data))
    assert result.rgb.shape == (result.height, result.width, 3)
    at = bytes(data).index(b"\x2c" + struct.pack("<HHHH", 0, 0, 90, 70))
    struct.pack_into("<HH", data, at + 5, 60_000, 60_000)
    assert rejected(bytes(data)).reason == "too_many_pixels"


def test_exif_that_claims_to_be_huge() -> None:
    entry = struct.pack("<HHII", 0x0112, 3, 0xFFFFFFFF, 8)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 0xFFFF) + entry * 2000
    assert decode(saved(drawn(), "JPEG", exif=exif)).width == 90


def test_kinds_of_tiff_that_no_reader_knows() -> None:
    data = saved(drawn(8, 8), "TIFF")
    bits = struct.pack("<HHH", 8, 8, 8)  # BitsPerSample
    assert data.count(bits) == 1
    assert rejected(data.replace(bits, struct.pack("<HHH", 64, 64, 64))).reason == "unsupported"


@given(st.binary(max_size=300))
def test_any_bytes_are_rejected_politely(data: bytes) -> None:
    assert rejected(data).reason in ("empty", "not_an_image", "unsupported", "truncated", "damaged")


@given(st.sampled_from(sorted(WHOLE)), st.integers(4, 40), st.binary(max_size=300))
def test_any_bytes_behind_a_true_beginning_are_decoded_or_rejected(name: str, keep: int, data: bytes) -> None:
    with contextlib.suppress(ImageRejected):
        assert decode(WHOLE[name][:keep] + data, limits=Limits(max_pixels=1_000_000)).rgb.ndim == 3


def test_whatever_a_reader_raises_becomes_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, reason in (
        (KeyError(7), "damaged"),
        (ZeroDivisionError(), "damaged"),
        (MemoryError(), "too_many_pixels"),
        (RuntimeError("Memory allocation error: Security limit exceeded"), "too_many_pixels"),
        (EOFError("unexpected end of data"), "truncated"),
    ):

        def broken(*_: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setitem(formats.READERS, "PNG", broken)
        result = rejected(WHOLE["PNG"])
        assert result.reason == reason
        assert result.__cause__ is error
