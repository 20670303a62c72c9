"""10,000 damaged files of every format: each is decoded or rejected with a reason; none crashes, hangs or eats memory.

The files are decoded in a process of its own under a memory limit, one after the other; a watchdog ends it, with a
traceback, when a single file takes too long. `python tests/faults/test_mutated_files.py SEED COUNT` is that process.
"""

import faulthandler
import io
import json
import os
import random
import resource
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image, ImageCms, ImageDraw
from pillow_heif import from_pillow
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - registers the writer

from lookalike.errors import ImageRejected, Reason
from lookalike.imaging.decoding import decode
from lookalike.imaging.limits import Limits
from lookalike.types import Decoded

FILES = 10_000
SECONDS_PER_FILE = 10
ADDRESS_SPACE = 3 << 30
RESIDENT = 400 << 20
LIMITS = Limits(max_bytes=1 << 20, max_pixels=1_000_000, max_frames=100, seconds=SECONDS_PER_FILE)

Mutation = Callable[[random.Random, bytearray, list[bytes]], bytearray]


def drawn(width: int, height: int, shade: int) -> Image.Image:
    """An image with gradients, texture, edges and flat parts."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x * y + shade) % 256], axis=-1).astype(np.uint8)
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width // 2, height // 2), fill=(200, 30, shade))
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def heic(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    from_pillow(image).save(out, format="HEIF", **options)
    return out.getvalue()


def psd(image: Image.Image) -> bytes:
    """A Photoshop file of a composite alone, run-length encoded a row at a time."""
    height, width = image.height, image.width
    planes = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    rows = [bytes([len(row) - 1]) + row.tobytes() for plane in planes for row in plane]
    lengths = b"".join(struct.pack(">H", len(row)) for row in rows)
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, height, width, 8, 3)
    return header + bytes(12) + struct.pack(">H", 1) + lengths + b"".join(rows)


def raw(image: Image.Image, preview: bytes) -> bytes:
    """A DNG: raw pixels of a colour filter array in a SubIFD, and a JPEG preview."""
    pixels = np.asarray(image.convert("L")).tobytes()

    def directory(at: int, *tags: tuple[int, int, int, int]) -> bytes:
        return struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)

    start = 8 + len(pixels) + len(preview)
    below = ((256, 4, 1, image.width), (257, 4, 1, image.height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 32803))
    sub = directory(start, *below, (273, 4, 1, 8), (279, 4, 1, len(pixels)))
    main = directory(start, (254, 4, 1, 1), (274, 3, 1, 1), (330, 4, 1, start), (50706, 1, 4, 0x0401))
    return b"II*\0" + struct.pack("<I", start + len(sub)) + pixels + preview + sub + main


def samples() -> Iterator[tuple[str, bytes]]:
    """A small file of every format, in the modes and variants that take different ways through the readers."""
    photo, small = drawn(96, 64, 10), drawn(31, 16, 90)
    wide = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    clear = photo.copy()
    clear.putalpha(photo.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    dated = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = dated[:24] + bytes(12) + dated[36:]  # the same files every time
    yield "JPEG", saved(photo, "JPEG", exif=exif, icc_profile=profile)
    yield "JPEG", saved(small, "JPEG", progressive=True, quality=95, subsampling=0)
    yield "JPEG", saved(photo.convert("CMYK"), "JPEG")
    yield "JPEG", saved(photo.convert("L"), "JPEG", restart_marker_blocks=2)
    yield "JPEG", saved(small, "MPO", save_all=True, append_images=[small])
    for image in (photo, small, clear, clear.convert("LA"), photo.convert("1"), wide):
        yield "PNG", saved(image, "PNG")
    yield "PNG", saved(photo.quantize(13), "PNG", transparency=3, exif=exif, icc_profile=profile)
    yield "PNG", saved(photo, "PNG", save_all=True, append_images=[photo.rotate(90)], transparency=(1, 2, 3))
    yield "WEBP", saved(photo, "WEBP", exif=exif, icc_profile=profile)
    yield "WEBP", saved(small, "WEBP", lossless=True)
    yield "WEBP", saved(clear, "WEBP")
    yield "WEBP", saved(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)])
    yield "GIF", saved(photo, "GIF")
    yield "GIF", saved(small.quantize(16), "GIF", interlace=True, transparency=1)
    yield "GIF", saved(photo, "GIF", save_all=True, append_images=[photo.rotate(90)])
    for image in (photo, small.convert("1"), photo.quantize(16), clear, small.convert("L")):
        yield "BMP", saved(image, "BMP")
    for image in (photo, clear, wide, photo.convert("F"), photo.convert("LAB"), photo.convert("CMYK"), small):
        yield "TIFF", saved(image, "TIFF", icc_profile=profile)
    for method in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"):
        yield "TIFF", saved(photo, "TIFF", compression=method)
    yield "TIFF", saved(photo.convert("1"), "TIFF", compression="group4")
    yield "TIFF", saved(photo.convert("1"), "TIFF", compression="group3")
    yield "TIFF", saved(photo, "TIFF", tiffinfo={322: 16, 323: 16}, compression="tiff_lzw")
    yield "TIFF", saved(small, "TIFF", big_tiff=True)
    yield "TIFF", saved(small, "TIFF", save_all=True, append_images=[small.convert("L")])
    for image in (photo, small.convert("L"), clear, small):
        yield "ICO", saved(image, "ICO", sizes=[(16, 16), (48, 48)])
        yield "TGA", saved(image, "TGA", compression="tga_rle")
    yield "TGA", saved(photo.quantize(16), "TGA")
    for image in (photo, wide, clear):
        yield "JPEG2000", saved(image, "JPEG2000")
    yield "JPEG2000", saved(small, "JPEG2000", no_jp2=True, irreversible=True)
    for image in (photo, small.convert("1"), small.convert("L"), wide.convert("I")):
        yield "PPM", saved(image, "PPM")
    for image in (photo, clear, small.convert("L"), wide):
        yield "JXL", saved(image, "JXL")
    yield "PSD", psd(photo)
    yield "RAW", raw(photo, saved(drawn(80, 60, 30), "JPEG"))
    for image in (photo, clear, small.convert("L")):
        yield "AVIF", saved(image, "AVIF", exif=exif, speed=9)
        yield "HEIF", heic(image)


def flip_bytes(rng: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    for _i in range(rng.choice((1, 1, 2, 4, 16))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def flip_bit(rng: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def edit_header(rng: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    for _i in range(rng.choice((1, 2, 3))):
        data[rng.randrange(4, min(len(data), 160))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return data


def extreme_number(rng: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    size = rng.choice((2, 4, 8))
    value = rng.choice((0, 1, (1 << size * 8) - 1, 1 << size * 8 - 1, (1 << size * 8 - 1) - 1, len(data), 60_000))
    at = rng.randrange(max(1, len(data) - size))
    data[at : at + size] = (value % (1 << size * 8)).to_bytes(size, rng.choice(("little", "big")))
    return data


def truncate(rng: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    return data[: rng.randrange(len(data))]


def swap_chunks(rng: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    a, b, c, d = sorted(rng.randrange(len(data) + 1) for _i in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def drop_or_repeat(rng: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    a, b = sorted(rng.randrange(len(data) + 1) for _i in range(2))
    return data[:a] + data[b:] if rng.random() < 0.5 else data[:b] + data[a:]


def splice(rng: random.Random, data: bytearray, others: list[bytes]) -> bytearray:
    other = rng.choice(others)
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes,
    flip_bit,
    edit_header,
    extreme_number,
    truncate,
    swap_chunks,
    drop_or_repeat,
    splice,
)


def mend_checksums(data: bytes) -> bytes:
    """Give every chunk of a PNG the right checksum, so that its damage gets past that first door."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        if at + 12 + length > len(data):
            break
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out) + data[at:]


def mutants(seed: int, count: int) -> Iterator[tuple[str, str, bytes]]:
    """The name of the format, the name of the mutation and the bytes of `count` damaged files."""
    originals = list(samples())
    every = [data for _, data in originals]
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        kind, data = originals[number % len(originals)]
        mutation = MUTATIONS[number // len(originals) % len(MUTATIONS)]
        mutant = bytes(mutation(rng, bytearray(data), every))
        if kind == "PNG" and rng.random() < 0.7:
            mutant = mend_checksums(mutant)
        yield kind, mutation.__name__, mutant


def attempt(data: bytes, box: tuple[int, int] | None) -> Decoded | ImageRejected:
    try:
        return decode(data, limits=LIMITS, box=box, digest_pixels=LIMITS.max_pixels)
    except ImageRejected as rejected:
        return rejected


def is_valid(result: Decoded | ImageRejected) -> bool:
    if isinstance(result, ImageRejected):
        return result.reason in get_args(Reason) and str(result).endswith(".") and len(str(result)) > 40
    rgb = result.rgb
    shape = (-(-result.height // result.scale), -(-result.width // result.scale), 3)
    return (
        rgb.dtype == np.uint8
        and (rgb.shape == shape or result.format == "RAW")  # a preview has a size of its own
        and not (result.truncated and result.pixels)
        and rgb.flags.c_contiguous
        and 0 < rgb.size <= 3 * LIMITS.max_pixels
        and 1 <= result.frames <= LIMITS.max_frames
    )


def decode_all(seed: int, count: int) -> None:
    """Decode every mutant in this process, print the counts as JSON; the file $CURRENT says which one is at work."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    results: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    truncated = 0
    current = os.open(os.environ["CURRENT"], os.O_WRONLY | os.O_CREAT)
    for number, (kind, mutation, data) in enumerate(mutants(seed, count)):
        os.pwrite(current, f"{number:6} {kind:5} {mutation:16}".encode(), 0)
        faulthandler.dump_traceback_later(SECONDS_PER_FILE, exit=True)
        box = (8, 8) if number % 2 else None
        result = attempt(data, box)
        if isinstance(result, Decoded):
            results["decoded"] += 1
            formats[kind] += 1
            truncated += result.truncated
        else:
            results[result.reason] += 1
        assert is_valid(result), (kind, mutation, number)
        faulthandler.cancel_dump_traceback_later()
    # not ru_maxrss, which begins with what the parent had when this process was forked
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    peak = int(line.split()[1]) * 1024
    print(json.dumps({"results": results, "decoded by format": formats, "truncated": truncated, "peak": peak}))


def test_ten_thousand_mutated_files(tmp_path: Path) -> None:
    current = tmp_path / "current"
    environment = {**os.environ, "CURRENT": str(current), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, "7", str(FILES)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (
        f"the decoding process ended with {done.returncode} (a negative number is a signal) at mutant "
        f"{current.read_text()}\n{done.stderr[-4000:]}"
    )
    report = json.loads(done.stdout.splitlines()[-1])
    print(report)
    results = report["results"]
    assert sum(results.values()) == FILES
    assert results["decoded"] > FILES // 20, "mutants too wild: hardly any is decoded"
    assert results["truncated"] > FILES // 40  # most are read as far as they go
    assert results["damaged"] > FILES // 40
    assert report["truncated"] > FILES // 20
    formats = {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "ICO", "TGA", "JPEG2000", "PPM", "JXL"}
    assert set(report["decoded by format"]) == formats | {"PSD", "RAW"}
    assert report["peak"] < RESIDENT


if __name__ == "__main__":
    decode_all(int(sys.argv[1]), int(sys.argv[2]))
