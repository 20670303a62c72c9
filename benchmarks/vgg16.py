"""VGG16 throughput compared with Keras' in one run, and agreement of their features.

    python -m benchmarks.vgg16 [--batches 8 1] [--rounds 5] [--seconds 4] [--keras PYTHON] [--calibrate FOLDER]

Keras runs in a process of its own, by the interpreter PYTHON that has tensorflow-cpu (by default this one); the engines
take turns of some seconds, and each figure is the median of its turns. The ratio is the median of the ratios turn by
turn. int8 is calibrated on FOLDER (by default the photos') unless the cache holds a calibrated form already.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import describe, write_rows
from benchmarks.photos import photo_folder
from lookalike.encoders import Precision, load_encoder, pull
from lookalike.errors import LookalikeError
from lookalike.interfaces import Encoder

CACHE = Path(platformdirs.user_cache_dir("lookalike"))
Images = NDArray[np.uint8]
Turn = Callable[[int, float], float]
"""Encodes batches of so many images for so many seconds; gives images a second."""


def sample_inputs(count: int) -> Images:
    """Photos as the network takes them, (count, 224, 224, 3)."""
    files = sorted((photo_folder() / "imagenet1000").glob("*"))[:: max(1, 400 // count)][:count]
    return np.stack(
        [np.asarray(Image.open(f).convert("RGB").resize((224, 224), Image.Resampling.NEAREST)) for f in files]
    )


class Keras:
    """The peer in a process of its own."""

    def __init__(self, python: str, weights: Path, images: Images) -> None:
        with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
            np.save(file, images)
        self._images = Path(file.name)
        script = Path(__file__).with_name("keras_vgg16.py")
        quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [python, str(script), str(weights), file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=quiet,
        )
        while (line := self._read()) != "ready":
            print(line, file=sys.stderr)

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("Keras' process has ended")
        return line.strip()

    def _ask(self, words: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        return self._read()

    def turn(self, batch: int, seconds: float) -> float:
        """Images a second."""
        return float(self._ask(f"{batch} {seconds}"))

    def features(self) -> NDArray[np.float32]:
        """Unit features of all images."""
        file = Path(self._ask("features"))
        rows = np.load(file)
        file.unlink()
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._images.unlink()


def turn_of(encoder: Encoder, images: Images) -> Turn:
    """The same turn for an encoder of ours."""

    def turn(batch: int, seconds: float) -> float:
        encoder.encode(images[:batch])
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            encoder.encode(images[:batch])
            done += batch
        return done / (time.perf_counter() - start)

    return turn


def encoders(calibrate: Path) -> dict[str, Encoder]:
    """Ours, in each precision that this machine can do; says why one is left out."""
    found: dict[str, Encoder] = {}
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "int8")
    for precision in precisions:
        try:
            try:
                found[precision] = load_encoder("vgg16", CACHE, precision=precision)
            except LookalikeError:
                if precision != "int8":
                    raise
                pull("vgg16", CACHE, precision="int8", calibrate=calibrate)
                found[precision] = load_encoder("vgg16", CACHE, precision=precision)
        except LookalikeError as error:
            print(f"without {precision}: {error}")
    return found


def has_tensorflow(python: str) -> bool:
    """Whether that interpreter can run the peer."""
    probe = [python, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('tensorflow') is None)"]
    return subprocess.run(probe, check=False).returncode == 0


def measure(turns: dict[str, Turn], batch: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Each engine's images a second, turn by turn."""
    return [
        {"engine": name, "batch": batch, "round": at, "images_per_second": turn(batch, seconds)}
        for at in range(rounds)
        for name, turn in turns.items()
    ]


def show(rows: list[dict[str, Any]], batch: int) -> None:
    """A table of one batch size."""
    speeds: dict[str, list[float]] = {}
    for row in rows:
        speeds.setdefault(row["engine"], []).append(row["images_per_second"])
    print(f"\nbatch {batch}          images/s    x Keras")
    for name, values in speeds.items():
        ratios = [own / peer for own, peer in zip(values, speeds.get("Keras", []), strict=False)]
        print(
            f"{name:16} {statistics.median(values):11.1f}" + (f"  {statistics.median(ratios):9.2f}" if ratios else "")
        )


def main() -> None:
    """Measure, print, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--keras", default=os.environ.get("KERAS_PYTHON", sys.executable))
    parser.add_argument("--calibrate", type=Path)
    given = parser.parse_args()
    print(*(f"{key} {value}" for key, value in describe().items()), sep=", ")
    images = sample_inputs(32)
    ours = encoders(given.calibrate or photo_folder() / "bsds500")
    turns = {f"OpenVINO {name}": turn_of(encoder, images) for name, encoder in ours.items()}
    keras = None
    if has_tensorflow(given.keras):
        keras = Keras(given.keras, pull("vgg16", CACHE), images)
        turns = {"Keras": keras.turn, **turns}
        reference = keras.features()
        for name, encoder in ours.items():
            cosines = (encoder.encode(images).features * reference).sum(1)
            print(f"cosine of {name} to Keras: mean {cosines.mean():.6f}, least {cosines.min():.6f}")
    else:
        print(f"without Keras: {given.keras} has no tensorflow (make bench installs it; or --keras PYTHON)")
    for batch in given.batches:
        rows = measure(turns, batch, given.rounds, given.seconds)
        show(rows, batch)
        write_rows("vgg16", rows)
    if keras is not None:
        keras.close()


if __name__ == "__main__":
    main()
