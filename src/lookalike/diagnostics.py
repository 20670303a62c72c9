"""Checks of the environment, each with a remedy."""

import base64
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

import numpy as np
import psutil

from lookalike.cpu import instruction_sets, is_bf16_faster_than_fp32
from lookalike.encoders import find_entry, is_pulled, verify
from lookalike.errors import LookalikeError
from lookalike.imaging.decoding import decode
from lookalike.optional import EXTRAS, install_command, is_installed

CheckStatus = Literal["ok", "warn", "fail"]

MIN_MEMORY, LOW_MEMORY = 512 << 20, 2 << 30
"""Bytes free, below which the check fails or warns: VGG16 with a batch of 8 takes 0.9 GB, hashes very little."""
MIN_DISK, LOW_DISK = 256 << 20, 2 << 30
"""Bytes free, below which the check fails or warns: weights take 60 MB, a million images with phash and vgg16 2 GB."""
MIN_SQLITE = (3, 35, 0)
"""First version with RETURNING."""

TEST_IMAGES = {
    "JPEG": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hn"
    "Pk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj"
    "Y2P/wAARCAAQABADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAT/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEBAQAAAAAA"
    "AAAAAAAAAAAABQb/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMBAAIRAxEAPwCAAaon/9k=",
    "WebP": "UklGRh4AAABXRUJQVlA4TBEAAAAvD8ADAAdQniLXo/+BiOh/AAA=",
    "AVIF": "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAA"
    "AAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAKQAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFD"
    "b2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAEAAAABAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJu"
    "Y2x4AAEADQAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAMW1kYXQSAAoJGAz/2iAhoNCAMhoZR4eGIYeeeeaAAAB1hk3a5lbrvQJk"
    "VB0wQA==",
    "HEIC": "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJp"
    "bG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAADIAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAAB"
    "AAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEA"
    "AQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAU"
    "aXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAEAAAAAEAAAAQAAAAAf///9AAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlw"
    "bWEAAAAAAAAAAQABBYECAwWEAAAAOm1kYXQAAAAuKAGvEyFiY0D1JyL//v+6f/CLJ/0r2WFncrrBW/L6wPZkm8DzqpGegIdppzAVeA==",
}
"""A 16 x 16 image of one colour, (200, 60, 30), in each format, as base64."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was found, and the remedy if it is not ok (else "")."""

    name: str
    status: CheckStatus
    found: str
    remedy: str = ""


def diagnose(
    cache: Path,
    gallery: Path | None = None,
    *,
    models: Iterable[str] = ("vgg16",),
    user_file: Path | None = None,
    engines: Sequence[Callable[[], Check]] = (),
) -> list[Check]:
    """Check processor, memory, disk, Python, decoders, weights of `models`, embedded engines and extras, in this order.

    `engines` are further checks, one for each server of a gallery. Nothing is written or downloaded.
    """
    flags = instruction_sets()
    checks = [_avx2(flags), _low_precision(flags), _memory(), _disk("disk (cache)", cache)]
    if gallery is not None:
        checks.append(_disk("disk (gallery)", gallery))
    checks.append(_python())
    checks += [_decoder(name, text) for name, text in TEST_IMAGES.items()]
    models = list(models)
    if is_installed("vgg16"):  # without OpenVINO no model's file can be opened
        checks += [_weights(name, cache, user_file) for name in models]
    checks += [_package(module, required=bool(models)) for module in ("openvino", "faiss")]
    checks += [_sqlite(), _extras()]
    return checks + [check() for check in engines]


def exit_code(checks: Iterable[Check]) -> int:
    """Return 1 if any check failed, else 0; warnings are not failures."""
    return int(any(check.status == "fail" for check in checks))


def _avx2(flags: frozenset[str]) -> Check:
    """Check for AVX2, as the published system does: `grep flags /proc/cpuinfo | grep avx2`."""
    cores = f"{psutil.cpu_count(logical=False) or psutil.cpu_count() or 1} cores, {platform.machine()}"
    if "avx2" in flags:
        return Check("processor", "ok", f"{cores}, avx2" + (", avx512" if "avx512f" in flags else ""))
    if platform.machine().lower() in ("arm64", "aarch64"):
        return Check("processor", "ok", f"{cores}, neon (the ARM counterpart of avx2)")
    return Check(
        "processor",
        "warn",
        f"{cores}, no avx2",
        "networks and vector search will be several times slower; hashes are not",
    )


def _low_precision(flags: frozenset[str]) -> Check:
    """List the instruction sets for low precision, and say in which precision networks run."""
    sets = {
        "bf16": {"avx512bf16", "amxbf16", "bf16"},
        "VNNI (int8)": {"avx512vnni", "avxvnni", "asimddp", "dotprod"},
        "AMX": {"amxtile", "amxint8"},
    }
    found = [name for name, any_of in sets.items() if flags & any_of]
    if not found:
        return Check("low precision", "ok", "none: networks run in fp32, at a third to a half of the speed of bf16")
    slow = "avx512bf16" in flags and not is_bf16_faster_than_fp32()
    return Check(
        "low precision", "ok", ", ".join(found) + (": networks run in fp32, faster here than bf16" if slow else "")
    )


def _size(nbytes: float) -> str:
    return f"{nbytes / 2**30:.1f} GiB"


def _memory() -> Check:
    memory = psutil.virtual_memory()
    found = f"{_size(memory.available)} free of {_size(memory.total)}"
    if memory.available < MIN_MEMORY:
        return Check("memory", "fail", found, f"close other programs: at least {_size(MIN_MEMORY)} are needed")
    if memory.available < LOW_MEMORY:
        return Check("memory", "warn", found, "enough for hashes; close other programs for VGG16")
    return Check("memory", "ok", found)


def _disk(name: str, folder: Path) -> Check:
    """Check the free space of the file system of `folder`, which may not exist yet."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        free = psutil.disk_usage(str(existing)).free
    except OSError as error:
        return Check(name, "fail", f"{existing}: {error}", "use a folder that can be read and written")
    found = f"{_size(free)} free at {existing}"
    if free < MIN_DISK:
        return Check(name, "fail", found, f"free some space: at least {_size(MIN_DISK)} are needed")
    return Check(name, "warn" if free < LOW_DISK else "ok", found, "free some space soon" if free < LOW_DISK else "")


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if sys.maxsize < 2**32:
        return Check(
            "python", "fail", f"{found}, 32 bits", "install a 64-bit Python: networks and vector search need it"
        )
    return Check("python", "ok", found)


def _decoder(name: str, text: str) -> Check:
    remedy = "reinstall: pip install --force-reinstall " + ("pillow-heif" if name == "HEIC" else "pillow")
    try:
        rgb = decode(base64.b64decode(text)).rgb
    except LookalikeError as error:
        return Check(f"decoder {name}", "fail", str(error), remedy)
    if rgb.shape != (16, 16, 3) or np.abs(rgb.mean((0, 1)) - (200, 60, 30)).max() > 6:
        return Check(f"decoder {name}", "fail", f"wrong pixels: shape {rgb.shape}, mean {rgb.mean((0, 1))}", remedy)
    return Check(f"decoder {name}", "ok", _decoder_version(name))


def _decoder_version(name: str) -> str:
    if name == "HEIC":
        return f"pillow-heif {metadata.version('pillow-heif')}"
    features = import_module("PIL.features")
    if name == "JPEG":
        turbo = "libjpeg-turbo" if features.check_feature("libjpeg_turbo") else "libjpeg (reduced decoding is slower)"
        return f"{turbo} {features.version_feature('libjpeg_turbo') or ''}".strip()
    return f"{name} {features.version_module(name.lower()) or ''}".strip()


def _weights(name: str, cache: Path, user_file: Path | None) -> Check:
    """Check a model's weights; missing ones are a warning, because they are downloaded at first use."""
    try:
        built_in = find_entry(name, user_file, cache).built_in
        if not is_pulled(name, cache, user_file=user_file):
            remedy = f"lookalike models pull {name} (offline: --from FILE)"
            return Check(f"model {name}", "warn", "not downloaded yet; downloaded at first use", remedy)
        problem = verify(name, cache, user_file=user_file)
    except LookalikeError as error:
        return Check(f"model {name}", "fail", str(error), "lookalike models list")
    if problem is not None:
        remedy = "install lookalike again" if built_in else f"delete {cache / 'models' / name} and pull {name} again"
        return Check(f"model {name}", "fail", problem, remedy)
    return Check(f"model {name}", "ok", f"{'in the package' if built_in else 'downloaded'}, weights verified")


def _package(module: str, *, required: bool) -> Check:
    """Whether a package of the extra vgg16 can be imported; a missing one is a failure only if a model needs it."""
    name, package = f"engine {module}", {"faiss": "faiss-cpu"}.get(module, module)
    try:
        import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            return Check(name, "fail" if required else "warn", "not installed", install_command("vgg16"))
        return Check(name, "fail", str(error), f"pip install --force-reinstall {package}")
    return Check(name, "ok", metadata.version(package))


def _extras() -> Check:
    extras = list(dict.fromkeys(extra for _, extra in EXTRAS.values()))
    missing = [extra for extra in extras if not is_installed(extra)]
    installed = ", ".join(extra for extra in extras if extra not in missing) or "none"
    if not missing:
        return Check("extras", "ok", installed)
    return Check(
        "extras", "ok", f"{installed}; not installed: {', '.join(missing)}", install_command(",".join(missing))
    )


def _sqlite() -> Check:
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        required = ".".join(map(str, MIN_SQLITE))
        return Check("engine sqlite", "fail", sqlite3.sqlite_version, f"use a Python with SQLite {required} or later")
    return Check("engine sqlite", "ok", sqlite3.sqlite_version)
