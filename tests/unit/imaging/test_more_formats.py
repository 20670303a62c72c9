"""Formats beyond those of browsers, and files that break their rules: read as viewers show them, or named."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - registers the writer

from lookalike.errors import ImageRejected
from lookalike.image_files import is_image_file
from lookalike.imaging import jxl, prepare
from lookalike.imaging.decoding import decode
from lookalike.imaging.formats import READERS, size_by_header
from lookalike.imaging.limits import Limits
from lookalike.imaging.recovery import png
from lookalike.types import Pixels
from tests.faults.test_mutated_files import psd, raw
from tests.support.drawn_images import drawn, encoded

IMAGE = drawn(7, (96, 64))


def close(a: Any, b: Any, tolerance: float = 0) -> bool:
    return a.shape == b.shape and float(np.abs(a.astype(int) - b).mean()) <= tolerance


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JXL", {"lossless": True}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("ICO", {"sizes": [(96, 64)]}),
        ("PPM", {}),
        ("TGA", {}),
        ("TGA", {"compression": "tga_rle"}),
    ],
)
def test_what_a_library_reads_is_read(kind: str, options: dict[str, Any]) -> None:
    data = encoded(IMAGE, kind, **options)
    result = decode(data, digest_pixels=1_000_000)
    assert (result.format, result.width, result.height) == (kind, 96, 64)
    assert close(result.rgb, np.asarray(IMAGE))
    assert result.pixels == decode(encoded(IMAGE), digest_pixels=1).pixels
    assert size_by_header(data) == (96, 64)
    with pytest.raises(ImageRejected) as caught:
        decode(data, limits=Limits(max_pixels=6000))
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
@pytest.mark.parametrize("plain", [False, True])
def test_portable_maps(mode: str, plain: bool) -> None:
    image = IMAGE.convert(mode)
    data = encoded(image, "PPM")
    if plain:
        values = (np.asarray(image).astype(int) if mode != "1" else 1 - np.asarray(image).astype(int)).ravel()
        most = "" if mode == "1" else "255\n"
        data = f"P{'123'[('1', 'L', 'RGB').index(mode)]}\n# drawn\n96 64\n{most}{' '.join(map(str, values))}\n".encode()
    assert close(decode(data).rgb, np.asarray(image.convert("RGB")))


def test_the_composite_of_a_psd_is_read() -> None:
    assert close(decode(psd(IMAGE)).rgb, np.asarray(IMAGE))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (264, 264), (300, 17), (96, 64), (640, 360), (40, 3000)])
def test_the_header_of_a_jxl_is_read_before_it_is_decoded(size: tuple[int, int]) -> None:
    for container in (False, True):
        data = encoded(drawn(1, size), "JXL", effort=1, use_container=container)
        assert (header := jxl.read_header(data)) is not None
        assert (header.width, header.height, header.bits, header.animated) == (*size, 8, False)


def test_a_jxl_without_its_reader_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_jxl", None)
    with pytest.raises(ImageRejected, match=r"pillow-jxl-plugin.*lookalike\[jxl\]"):
        decode(encoded(IMAGE, "JXL"))


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_raw_file_is_its_largest_preview(orientation: int) -> None:
    small, large = (encoded(IMAGE.resize(size), "JPEG", quality=95) for size in ((24, 16), (96, 64)))
    data = bytearray(raw(drawn(1, (240, 160)), small + large))
    at = data.index(struct.pack("<HHII", 274, 3, 1, 1))
    struct.pack_into("<HHII", data, at, 274, 3, 1, orientation)
    result = decode(bytes(data), digest_pixels=1_000_000)
    upright = {1: IMAGE, 3: IMAGE.rotate(180), 6: IMAGE.transpose(Image.Transpose.ROTATE_270)}[orientation]
    assert result.format == "RAW"
    assert (result.width, result.height) == ((160, 240) if orientation == 6 else (240, 160))
    assert close(result.rgb, np.asarray(upright), 4)
    assert result.pixels is None
    assert prepare(bytes(data), ()).format == "RAW"


@pytest.mark.parametrize(
    "signature", [b"\0MRM\0\1", b"II\x1a\0\0\0HEAPCCDR\2\0\1\0", b"FUJIFILMCCD-RAW 0201", b"FOVb\1\0"]
)
def test_raw_files_that_are_not_built_like_tiff(tmp_path: Path, signature: bytes) -> None:
    noise = np.random.default_rng(1).integers(0, 255, 4000, dtype=np.uint8).tobytes()
    data = signature + noise + encoded(IMAGE, "JPEG", quality=95) + noise
    result = decode(data)
    assert (result.format, result.width, result.height) == ("RAW", 96, 64)
    assert close(result.rgb, np.asarray(IMAGE), 4)
    (tmp_path / "0001").write_bytes(data)
    assert is_image_file(str(tmp_path / "0001"))
    with pytest.raises(ImageRejected, match="camera raw file without a preview"):
        decode(signature + noise)


def test_a_raw_file_without_a_preview_is_refused_by_name() -> None:
    with pytest.raises(ImageRejected, match="camera raw file without a preview"):
        decode(raw(IMAGE, b""))


def bitfields(bits: int, masks: tuple[int, ...]) -> bytes:
    """A BMP of packed pixels."""
    pixels = np.asarray(IMAGE).astype(np.uint32)
    packed = np.zeros(pixels.shape[:2], np.uint32)
    for channel, mask in enumerate(masks[:3]):
        shift, size = (mask & -mask).bit_length() - 1, bin(mask).count("1")
        packed |= (pixels[..., channel] << size >> 8) << shift
    body = packed[::-1].astype(f"<u{bits // 8}").tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, 96, 64, 1, bits, 3, len(body), 0, 0, 0, 0) + struct.pack("<3I", *masks[:3])
    return struct.pack("<2sIHHI", b"BM", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body


@pytest.mark.parametrize(
    ("bits", "masks", "lost"),
    [
        (16, (0xF800, 0x07E0, 0x001F), 8),
        (16, (0x001F, 0x07E0, 0xF800), 8),
        (16, (0x0F00, 0x00F0, 0x000F), 16),
        (32, (0xFF000000, 0xFF0000, 0xFF00), 1),
        (32, (0x3FC00000, 0x0FF000, 0x0003FC), 1),
    ],
)
def test_bit_fields_of_any_layout(bits: int, masks: tuple[int, ...], lost: int) -> None:
    result = decode(bitfields(bits, masks))
    assert not result.truncated
    assert close(result.rgb, np.asarray(IMAGE), lost)


@pytest.mark.parametrize(
    "masks",
    [(0xFFFF0000, 0x07E0, 0x001F), (0x7C00, 0x7FFFFFFF, 0x001F), (0x80000000,) * 3, (0x5555, 0xAAAA, 0xFFFFFFFF)],
)
def test_bit_fields_beyond_the_pixel_do_no_harm(masks: tuple[int, ...]) -> None:
    data = bytearray(bitfields(16, (0xF800, 0x07E0, 0x001F)))
    data[54:66] = struct.pack("<3I", *masks)
    result = decode(bytes(data))
    assert (result.width, result.height) == (96, 64)


def test_bit_fields_of_more_than_8_bits_are_never_exact() -> None:
    deep = decode(bitfields(32, (0x3FF00000, 0x0FFC00, 0x0003FF)), digest_pixels=1_000_000)
    assert deep.pixels is None
    plain = decode(bitfields(32, (0xFF000000, 0xFF0000, 0xFF00)), digest_pixels=1_000_000)
    assert plain.pixels == decode(encoded(IMAGE), digest_pixels=1).pixels


@pytest.mark.parametrize("size", [16, 20, 36])
@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_a_bitmap_with_a_short_header_of_os_2(size: int, mode: str) -> None:
    image = IMAGE.quantize(200) if mode == "P" else IMAGE
    data = encoded(image, "BMP")
    [offset] = struct.unpack_from("<I", data, 10)
    short = data[:10] + struct.pack("<II", offset - 40 + size, size) + data[18 : 14 + size] + data[54:]
    if mode == "P" and size < 36:  # the number of colors is left out: all 256
        colors = data[54:offset].ljust(1024, b"\0")
        short = data[:10] + struct.pack("<II", 14 + size + 1024, size) + data[18 : 14 + size] + colors + data[offset:]
    result = decode(short, digest_pixels=1_000_000)
    assert result.pixels == decode(data, digest_pixels=1_000_000).pixels
    assert result.pixels is not None


def deep_psd(image: Image.Image, mode: int, compression: int, bits: int = 16) -> bytes:
    """A Photoshop file of 16 bits: the upper ones are the image, the lower ones noise; and an extra channel."""
    upper = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)
    upper = np.concatenate([upper, np.full_like(upper[:1], 255)])
    noise = np.random.default_rng(1).integers(0, 256, upper.shape, dtype=np.uint8)
    planes = np.stack([upper, noise], axis=-1).reshape(*upper.shape[:2], -1)
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, len(planes), image.height, image.width, bits, mode)
    header += bytes(4) + struct.pack(">I", 12) + b"8BIM\3\xed" + bytes(6) + bytes(4) + struct.pack(">H", compression)
    if compression == 0:
        return header + planes.tobytes()
    rows = [packed_bits(row.tobytes()) for plane in planes for row in plane]
    return header + b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)


def packed_bits(row: bytes) -> bytes:
    """A row by PackBits, with a packet of each kind: a run, copies of up to 128 bytes, and one that means nothing."""
    run = len(row) - len(row.lstrip(row[:1]))
    parts = [bytes([257 - run]) + row[:1]] if 1 < run <= 128 else [b""]
    rest = row[run:] if parts[0] else row
    parts += [bytes([len(rest[at : at + 128]) - 1]) + rest[at : at + 128] for at in range(0, len(rest), 128)]
    return b"\x80".join(parts)


@pytest.mark.parametrize("compression", [0, 1])
@pytest.mark.parametrize(("mode", "number"), [("RGB", 3), ("L", 1), ("CMYK", 4)])
def test_the_composite_of_a_psd_of_16_bits(mode: str, number: int, compression: int) -> None:
    image = IMAGE.convert(mode)
    stored = Image.fromarray(255 - np.asarray(image), "CMYK") if mode == "CMYK" else image
    result = decode(deep_psd(stored, number, compression), digest_pixels=1_000_000)
    assert (result.format, result.width, result.height) == ("PSD", 96, 64)
    assert close(result.rgb, decode(encoded(image, "TIFF")).rgb, 1)
    assert result.pixels is None, "the lower bits are not compared"
    assert not result.truncated


def test_a_psd_that_is_not_read_is_named() -> None:
    floats = deep_psd(IMAGE, 3, 0, bits=32)
    for data, reason in ((floats, "32 bits is not supported"), (deep_psd(IMAGE, 3, 0)[:-9000], "16 bits is not")):
        with pytest.raises(ImageRejected, match=reason) as caught:
            decode(data)
        assert caught.value.reason == "unsupported"


def spoiled(name: bytes, body: bytes = bytes(12), *, checksum: bytes = b"\1\2\3\4") -> bytes:
    """A PNG with a chunk of a wrong checksum before its pixels."""
    data = encoded(IMAGE)
    at = data.index(b"IDAT") - 4
    return data[:at] + struct.pack(">I", len(body)) + name + body + checksum + data[at:]


@pytest.mark.parametrize("name", [b"tEXt", b"gAMA", b"iCCP", b"eXIf", b"zzZz"])
def test_a_damaged_chunk_beside_the_pixels_costs_nothing(name: bytes) -> None:
    result = decode(spoiled(name), digest_pixels=1_000_000)
    assert not result.truncated
    assert result.pixels == decode(encoded(IMAGE), digest_pixels=1).pixels


@pytest.mark.parametrize("name", [b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"iCCP", b"tIME", b"eXIf", b"zTXt"])
@pytest.mark.parametrize("size", [0, 2, 31])
def test_a_chunk_of_a_wrong_size_beside_the_pixels_costs_nothing(name: bytes, size: int) -> None:
    body = bytes(size)
    result = decode(spoiled(name, body, checksum=struct.pack(">I", zlib.crc32(name + body))), digest_pixels=1_000_000)
    assert not result.truncated
    assert result.pixels == decode(encoded(IMAGE), digest_pixels=1).pixels


def test_large_text_in_a_png() -> None:
    data = encoded(IMAGE)
    at = data.index(b"IDAT") - 4
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * 80_000_000)
    text = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    assert close(decode(data[:at] + text + data[at:]).rgb, np.asarray(IMAGE))


FLAT = Image.new("RGB", (32, 24), (0, 128, 0))


def animated_chunks(first: Image.Image, *, apart: bool) -> list[tuple[bytes, bytes]]:
    """The chunks of an animated PNG of three frames, whose first one is the default image, or apart from it."""
    others = [drawn(n, first.size) for n in (3, 4, 5)][: 3 if apart else 2]
    data = encoded(first, save_all=True, append_images=others, default_image=apart, duration=50)
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def broken_animation(chunks: list[tuple[bytes, bytes]], fault: str) -> list[tuple[bytes, bytes]]:
    ordered = [at for at, (name, _) in enumerate(chunks) if name in (b"fcTL", b"fdAT")]
    last = ordered[-1]
    if fault == "no control chunks":
        return [each for each in chunks if each[0] != b"fcTL"]
    if fault == "no data":
        return [each for each in chunks if each[0] != b"fdAT"]
    if fault == "a frame less than it says":
        return chunks[: last - 1] + chunks[last + 1 :]
    if fault == "no frames, as it says":
        return [(name, bytes(8) if name == b"acTL" else body) for name, body in chunks]
    changed = list(chunks)
    if fault == "a gap":
        changed[last] = (b"fdAT", struct.pack(">I", 90) + chunks[last][1][4:])
    elif fault == "a late start":
        for at in ordered:
            number = int.from_bytes(chunks[at][1][:4]) + 1
            changed[at] = (chunks[at][0], struct.pack(">I", number) + chunks[at][1][4:])
    elif fault == "a repeated control chunk":
        number = int.from_bytes(chunks[last][1][:4])
        changed[last:] = [
            (b"fcTL", struct.pack(">I", number) + chunks[last - 1][1][4:]),
            (b"fdAT", struct.pack(">I", number + 1) + chunks[last][1][4:]),
            *chunks[last + 1 :],
        ]
    elif fault == "data before its control chunk":
        changed[last - 1], changed[last] = chunks[last], chunks[last - 1]
    return changed


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("first", [FLAT, IMAGE], ids=["flat", "drawn"])
@pytest.mark.parametrize(
    "fault",
    [
        "no control chunks",
        "no data",
        "a frame less than it says",
        "no frames, as it says",
        "a gap",
        "a late start",
        "a repeated control chunk",
        "data before its control chunk",
    ],
)
def test_a_png_of_broken_frames_is_its_default_image(fault: str, first: Image.Image, apart: bool) -> None:
    chunks = animated_chunks(first, apart=apart)
    data = png_of(broken_animation(chunks, fault))
    for digest_pixels in (0, 1_000_000):
        found = decode(data, digest_pixels=digest_pixels)
        assert (found.frames, found.truncated, found.pixels) == (1, True, None)
        assert close(found.rgb, np.asarray(first))


@pytest.mark.parametrize("apart", [False, True])
def test_frames_of_a_png_that_are_whole(apart: bool) -> None:
    chunks = animated_chunks(IMAGE, apart=apart)
    frames = 3 + apart
    whole = decode(png_of(chunks), digest_pixels=1_000_000)
    assert (whole.frames, whole.truncated) == (frames, False)
    assert whole.pixels is not None
    claim = next(at for at, (name, _) in enumerate(chunks) if name == b"acTL")
    chunks[claim] = (b"acTL", struct.pack(">II", 2, 0))
    more = decode(png_of(chunks), digest_pixels=1_000_000)
    assert (more.frames, more.truncated) == (frames - 1, False)
    assert more.pixels not in (None, whole.pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_a_missing_end_marker_loses_nothing(kind: str) -> None:
    data = encoded(IMAGE, kind)
    end = {"JPEG": 2, "PNG": 12, "GIF": 1}[kind]
    whole, cut = (decode(each, digest_pixels=1_000_000) for each in (data, data[:-end]))
    assert not cut.truncated
    assert cut.pixels == whole.pixels


def tga_runs(pixels: Pixels, packet: int) -> bytes:
    """A TGA of packets of up to `packet` pixels each that go on across the ends of rows."""
    flat = pixels.reshape(-1, pixels.shape[-1])
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, pixels.shape[1], pixels.shape[0], 24, 0x20)
    parts, at = [header], 0
    while at < len(flat):
        part = flat[at : at + packet]
        equal = bool((part == part[0]).all())
        parts.append(bytes([len(part) - 1 | (128 if equal else 0)]) + (part[:1] if equal else part)[:, ::-1].tobytes())
        at += len(part)
    return b"".join(parts)


@pytest.mark.parametrize("packet", [3, 128])
def test_runs_of_a_tga_may_cross_rows(packet: int) -> None:
    pixels = np.asarray(IMAGE).copy()
    pixels[20:24] = (250, 10, 60)
    data = tga_runs(pixels, packet)
    whole = decode(data)
    assert not whole.truncated
    assert np.array_equal(whole.rgb, pixels)
    cut = decode(data[: len(data) * 2 // 3])
    assert cut.truncated
    assert np.array_equal(cut.rgb[:30], pixels[:30])


def bmp_runs(values: Pixels, bits: int, *, colors: int = 0) -> bytes:
    """A BMP of alternating runs and literals (BI_RLE8, BI_RLE4), with a palette of grey levels."""
    body = bytearray()
    for row in values[::-1]:
        for at in range(0, len(row), 8):
            part = row[at : at + 8].tolist()
            if len(set(part)) == 1 or len(part) < 3:
                for value in part if len(set(part)) > 1 else part[:1]:
                    body += bytes([1 if len(set(part)) > 1 else len(part), value * (17 if bits == 4 else 1)])
                continue
            packed = bytes(part) if bits == 8 else bytes(a << 4 | b for a, b in zip(part[::2], part[1::2], strict=True))
            body += bytes([0, len(part)]) + packed + bytes(len(packed) % 2)
        body += b"\0\0"
    body += b"\0\1"
    number = 1 << bits
    palette = b"".join(bytes([level, level, level, 0]) for level in np.linspace(0, 255, number).astype(int).tolist())
    height, width = values.shape
    compression = 1 if bits == 8 else 2
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, colors, 0)
    start = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + header + palette + body


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("colors", [0, 5000, 4_000_000_000])
def test_run_length_encoded_bmp(bits: int, colors: int) -> None:
    grey = np.asarray(IMAGE.convert("L"))
    values = (grey >> 4 if bits == 4 else grey).copy()
    values[8:16] = 3
    expected = values * (17 if bits == 4 else 1)
    data = bmp_runs(values, bits, colors=colors)
    whole = decode(data)
    assert not whole.truncated
    assert np.array_equal(whole.rgb[..., 0], expected)
    cut = decode(data[:-700])  # the upper rows come last
    assert cut.truncated
    assert np.array_equal(cut.rgb[32:, :, 0], expected[32:])


@pytest.mark.parametrize("lossless", [False, True])
def test_what_is_there_of_a_webp_is_read(lossless: bool) -> None:
    image = drawn(3, (400, 300))
    data = encoded(image, "WEBP", lossless=lossless)
    whole = decode(data)
    cut = decode(data[: len(data) * 3 // 4], digest_pixels=1_000_000)
    assert cut.truncated
    assert cut.pixels is None
    assert close(cut.rgb[:100], whole.rgb[:100], 1)
    with pytest.raises(ImageRejected, match="ends before the image does"):
        decode(data[: len(data) // 3])


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("metadata", [{}, {"exif": Image.Exif().tobytes(), "xmp": b"<x/>"}])
def test_a_webp_that_ends_anywhere_is_read(lossless: bool, metadata: dict[str, Any]) -> None:
    data = encoded(drawn(3, (400, 300)), "WEBP", quality=90, lossless=lossless, **metadata)
    pixels = data.rindex(b"EXIF") if metadata else len(data)
    for missing in [*range(2, 60), *range(60, len(data) * 2 // 5, len(data) // 40)]:
        end = pixels - missing
        assert decode(data[:end], digest_pixels=1_000_000).truncated, missing


@pytest.mark.parametrize("end", [1, 4, 8, 10])
def test_a_webp_that_ends_in_its_metadata_is_complete(end: int) -> None:
    data = encoded(drawn(3, (400, 300)), "WEBP", lossless=True, exif=b"Exif\0\0II*\0" + bytes(100))
    result = decode(data[: data.rindex(b"EXIF") + end], digest_pixels=1_000_000)
    assert not result.truncated
    assert result.pixels == decode(data, digest_pixels=1_000_000).pixels
    assert result.pixels is not None


def interlaced(image: Image.Image) -> bytes:
    """A PNG of 8-bit RGB in seven passes, each row without a filter."""
    pixels = np.asarray(image)
    rows = b""
    for left, top, across, down in png._ADAM7:
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[top::down, left::across])
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return png.SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "interlaced", "GIF"])
@pytest.mark.parametrize("zeros", [False, True])
def test_what_is_before_damaged_pixels_is_read(mode: str, zeros: bool) -> None:
    """As browsers show it: up to the damage, in the middle of the compressed pixels."""
    image = drawn(3, (400, 300))
    if mode == "interlaced":
        data = bytearray(interlaced(image))
    else:
        data = bytearray(
            encoded(
                image.quantize(64) if mode in ("P", "GIF") else image.convert(mode), "GIF" if mode == "GIF" else "PNG"
            )
        )
    whole = decode(bytes(data)).rgb
    middle = len(data) * 2 // 3
    data[middle : middle + 200] = (
        bytes(200) if zeros or mode == "GIF" else bytes(255 - byte for byte in data[middle : middle + 200])
    )
    result = decode(bytes(data), digest_pixels=1_000_000)
    assert result.truncated
    assert result.pixels is None
    if mode != "interlaced":
        assert close(result.rgb[:60], whole[:60])


def test_the_reason_of_a_damaged_jxl_is_one_line() -> None:
    data = bytearray(encoded(IMAGE, "JXL", lossless=True))
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    with pytest.raises(ImageRejected) as raised:
        decode(bytes(data))
    assert "\n" not in str(raised.value)
    assert "build" not in str(raised.value)


@pytest.mark.parametrize("box", [None, (8, 8)])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_with_a_trailer_is_truncated(box: tuple[int, int] | None, progressive: bool) -> None:
    data = encoded(drawn(3, (400, 300)), "JPEG", quality=90, progressive=progressive)
    trailer = b"\0\0SEFT" + bytes(range(200)) * 3
    assert decode(data[: len(data) // 2] + trailer, box=box).truncated
    assert not decode(data + trailer, box=box).truncated


def subsampled(across: int, down: int) -> bytes:
    """An uncompressed TIFF of luma and chroma, which is stored once for `across` x `down` pixels."""
    values = np.asarray(IMAGE.convert("YCbCr")).astype(int)
    blocks = values.reshape(64 // down, down, 96 // across, across, 3).transpose(0, 2, 1, 3, 4)
    luma = blocks[..., 0].reshape(*blocks.shape[:2], -1)
    chroma = np.rint(blocks[..., 1:].mean(axis=(2, 3)))
    pixels = np.concatenate([luma, chroma], axis=2).astype(np.uint8).tobytes()
    tags = [(256, 3, 1, 96), (257, 3, 1, 64), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 6), (273, 4, 1, 14)]
    tags += [(277, 3, 1, 3), (278, 3, 1, 64), (279, 4, 1, len(pixels)), (530, 3, 2, across | down << 16)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", 14 + len(pixels)) + struct.pack("<3H", 8, 8, 8) + pixels + directory


@pytest.mark.parametrize(("across", "down"), [(2, 1), (1, 2), (2, 2), (4, 1), (4, 4)])
def test_an_uncompressed_tiff_with_subsampled_chroma(across: int, down: int) -> None:
    result = decode(subsampled(across, down))
    assert (result.width, result.height, result.truncated) == (96, 64, False)
    assert close(result.rgb, np.asarray(IMAGE), 12)


def test_a_big_tiff_of_the_other_byte_order_is_named() -> None:
    with pytest.raises(ImageRejected, match="big-endian BigTIFF is not supported") as caught:
        decode(b"MM\0+\0\x08\0\0" + struct.pack(">QQ", 16, 0) + bytes(100))
    assert caught.value.reason == "unsupported"


def test_a_compression_that_libtiff_lacks_is_named() -> None:
    data = bytearray(encoded(IMAGE, "TIFF", compression="tiff_lzw"))
    at = data.index(struct.pack("<HHIHH", 259, 3, 1, 5, 0))
    data[at + 8 : at + 10] = struct.pack("<H", 50001)  # WebP
    with pytest.raises(ImageRejected, match="WEBP compression support is not configured") as caught:
        decode(bytes(data))
    assert caught.value.reason == "unsupported"


def test_damaged_fax_lines_are_not_silent() -> None:
    rng = np.random.default_rng(1)
    cells = Image.fromarray(((rng.random((60, 80)) < 0.5) * 255).astype(np.uint8))
    data = encoded(cells.resize((400, 300)).convert("1"), "TIFF", compression="group4")
    assert not decode(data).truncated
    marked = 0
    for at in rng.integers(8, len(data) - 260, 60).tolist():
        spoiled = bytearray(data)
        spoiled[at] ^= int(rng.integers(1, 256))
        try:
            result = decode(bytes(spoiled), digest_pixels=1_000_000)
        except ImageRejected as error:
            marked += error.reason == "damaged"
            continue
        assert (result.pixels is None) == result.truncated
        marked += result.truncated
    assert marked > 40  # of the others libtiff notices nothing: their codes are valid


def mini(data: bytes) -> bytes:
    """An AVIF of Pillow's with a MinimizedImageBox instead of its MetaBox."""
    config_at = data.index(b"av1C") - 4
    config = data[config_at + 8 : config_at + int.from_bytes(data[config_at : config_at + 4])]
    size_at = data.index(b"ispe") + 8
    width, height = struct.unpack_from(">II", data, size_at)
    body = data[data.index(b"mdat") + 4 :]
    bits = ""

    def put(value: int, count: int) -> None:
        nonlocal bits
        bits += f"{value:0{count}b}"

    put(0, 2)
    for flag in (0, 0, 1, 0, 1, 0, 0, 0, 0):  # full range, and explicit code points
        put(flag, 1)
    put(3, 2)  # 4:4:4
    put(0, 3)
    put(1, 1)
    put(width - 1, 15)
    put(height - 1, 15)
    put(0, 1)
    for code in (1, 13, 6):
        put(code, 8)
    put(1, 1)
    put(1, 1)
    put(len(config), 12)
    put(len(body) - 1, 28)
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8) + config + body
    return b"\0\0\0\x10ftypmif3avif" + struct.pack(">I", 8 + len(packed)) + b"mini" + packed


def test_an_avif_with_a_minimized_box() -> None:
    plain = encoded(IMAGE, "AVIF", subsampling="4:4:4", quality=90, speed=9)
    small = mini(plain)
    assert len(small) < len(plain)
    result = decode(small)
    assert result.format == "AVIF"
    assert close(result.rgb, decode(plain).rgb, 1)
    for cut in (20, 30, 60, len(small) - 40):
        with pytest.raises(ImageRejected):
            decode(small[:cut])


def rebuilt_avif(
    data: bytes, associations: list[dict[int, bytes]], *, groups: bytes = b"", last: bool = False
) -> bytes:
    """An AVIF of Pillow's with these boxes of associations, and groups of items; its MetaBox extends to the end or not.

    A MetaBox that comes last is preceded by the pixels.
    """

    def box(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + name + body

    start, mdat = (data.index(name) - 4 for name in (b"meta", b"mdat"))
    iprp, ipco, ipma = (data.index(name) - 4 for name in (b"iprp", b"ipco", b"ipma"))
    written = b""
    for items in associations:
        entries = b"".join(struct.pack(">HB", item, len(own)) + own for item, own in items.items())
        written += box(b"ipma", struct.pack(">II", 0, len(items)) + entries)
    meta = bytearray(data[start + 8 : iprp] + box(b"iprp", data[ipco:ipma] + written) + groups)
    moved = start - mdat if last else 8 + len(meta) - (mdat - start)
    at = meta.index(b"iloc") + 12
    for _ in range(int.from_bytes(meta[at - 2 : at])):
        meta[at + 6 : at + 10] = struct.pack(">I", int.from_bytes(meta[at + 6 : at + 10]) + moved)
        at += 14
    if last:
        return data[:start] + data[mdat:] + bytes(4) + b"meta" + bytes(meta)
    return data[:start] + box(b"meta", bytes(meta)) + data[mdat:]


def associations_of(data: bytes) -> dict[int, bytes]:
    """Numbers of properties by item, as Pillow writes them: one byte each, the highest bit for essential ones."""
    at = data.index(b"ipma") + 12
    found = {}
    for _ in range(int.from_bytes(data[at - 4 : at])):
        item, count = struct.unpack_from(">HB", data, at)
        found[item] = data[at + 3 : at + 3 + count]
        at += 3 + count
    return found


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("fault", ["two boxes", "an item in two boxes", "alpha without a size", "groups"])
def test_an_avif_whose_properties_are_written_unusually(fault: str, last: bool) -> None:
    image = IMAGE.copy()
    image.putalpha(drawn(9, IMAGE.size).convert("L"))
    plain = encoded(image, "AVIF", quality=90, speed=9)
    whole = decode(plain, digest_pixels=1_000_000)
    assert whole.alpha is not None
    items = associations_of(plain)
    color, alpha = items
    boxes, groups = [items], b""
    if fault == "two boxes":
        boxes = [{color: items[color]}, {alpha: items[alpha]}]
    elif fault == "an item in two boxes":
        boxes = [{color: items[color][:2], alpha: items[alpha]}, {color: items[color][1:]}]
    elif fault == "alpha without a size":
        boxes = [{color: items[color], alpha: items[alpha][1:]}]
    else:
        group = struct.pack(">I4sIIII", 26, b"pymd", 0, 1, 1, color) + bytes(2)
        groups = struct.pack(">I4sI", 38, b"grpl", 0) + group
    data = rebuilt_avif(plain, boxes, groups=groups, last=last)
    with pytest.raises(SyntaxError, match="BMFF parsing failed"):
        READERS["AVIF"](io.BytesIO(data))
    found = decode(data, digest_pixels=1_000_000)
    assert not found.truncated
    assert found.pixels == whole.pixels
    assert found.alpha is not None
    assert close(found.alpha, whole.alpha)
    for cut in (len(plain) // 2, len(data) - 40):
        with pytest.raises(ImageRejected):
            decode(data[:cut])


def test_lossless_jpeg_is_read_for_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """libjpeg cannot reduce one; none of our libraries writes one, so the reader is made to refuse a reduction."""
    from PIL.JpegImagePlugin import JpegImageFile  # noqa: PLC0415

    load = JpegImageFile.load

    def refusing(self: JpegImageFile) -> Any:
        if self.decoderconfig and self.decoderconfig != () and self.decoderconfig[0] != 1:
            raise OSError("broken data stream when reading image file")
        return load(self)

    data = encoded(drawn(3, (400, 300)).convert("CMYK"), "JPEG", quality=95)
    monkeypatch.setattr(JpegImageFile, "load", refusing)
    result = decode(data, box=(32, 32), grey=True)
    assert (result.scale, result.rgb.shape) == (1, (300, 400))


def test_an_icon_of_several_sizes_is_never_exact() -> None:
    data = encoded(IMAGE.resize((64, 64)), "ICO", sizes=[(16, 16), (32, 32), (64, 64)])
    result = decode(data, digest_pixels=1_000_000)
    assert (result.frames, result.pixels, result.truncated) == (3, None, False)
    assert (result.width, result.height) == (64, 64)
    assert io.BytesIO(data).read(4) == b"\0\0\1\0"
