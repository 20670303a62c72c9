"""CPU seconds (user and system) of short commands, each a fresh process: `python -m benchmarks.startup [RUNS] [SRC]`.

With SRC, the folder `src` of another checkout, that one's commands are measured after each of this one's.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from benchmarks.machine import describe, write_rows
from lookalike.samples import sample_paths

PROGRAM = (sys.executable, "-m", "lookalike")


def cpu_seconds(command: Sequence[str], source: str | None = None) -> float:
    """What one run of the command takes, with its child processes."""
    environment = os.environ | ({} if source is None else {"PYTHONPATH": source})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def make_copies(folder: Path, runs: int) -> tuple[Path, list[Path]]:
    """A smaller, recompressed copy of a sample, and as many new images as are added one by one."""
    with Image.open(sample_paths()[0]) as opened:
        image = opened.convert("RGB")
    smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4))
    paths = [folder / f"{number}.jpg" for number in range(runs)]
    for number, path in enumerate(paths):
        smaller.rotate(number + 1, expand=True).save(path, quality=70)
    smaller.save(folder / "copy.jpg", quality=70)
    return folder / "copy.jpg", paths


def main(runs: int = 10, other: str | None = None) -> None:
    """Measure and print a table: median and minimum of `runs` runs after one that fills the file cache."""
    with tempfile.TemporaryDirectory() as folder:
        hashes, both = str(Path(folder) / "hashes"), str(Path(folder) / "both")
        samples = str(sample_paths()[0].parent)
        subprocess.run([*PROGRAM, "init", "-g", hashes, "--pipelines", "phash"], stdout=subprocess.DEVNULL, check=True)
        for gallery in (hashes, both):
            subprocess.run([*PROGRAM, "add", samples, "-g", gallery], stdout=subprocess.DEVNULL, check=True)
        sources = [None] if other is None else [None, other]
        copy, added = make_copies(Path(folder), 2 * (runs + 1) * len(sources))
        new = iter(map(str, added))
        commands: dict[str, Callable[[], tuple[str, ...]]] = {
            "python -c pass": lambda: (sys.executable, "-c", "pass"),
            "lookalike --version": lambda: (*PROGRAM, "--version"),
            "lookalike --help": lambda: (*PROGRAM, "--help"),
            "lookalike search --help": lambda: (*PROGRAM, "search", "--help"),
            "lookalike ls": lambda: (*PROGRAM, "ls", "-g", both),
            "lookalike status": lambda: (*PROGRAM, "status", "-g", both),
            "lookalike search copy.jpg (hashes)": lambda: (*PROGRAM, "search", str(copy), "-g", hashes),
            "lookalike search copy.jpg": lambda: (*PROGRAM, "search", str(copy), "-g", both),
            "lookalike add IMAGE (hashes)": lambda: (*PROGRAM, "add", next(new), "-g", hashes),
            "lookalike add IMAGE": lambda: (*PROGRAM, "add", next(new), "-g", both),
        }
        print(describe())
        print(f"{'command':<40}{'median':>8}{'least':>8}   CPU s")
        rows = []
        for name, command in commands.items():
            seconds: dict[str | None, list[float]] = {source: [] for source in sources}
            for _ in range(runs + 1):
                for source in sources:
                    seconds[source].append(cpu_seconds(command(), source))
            for source in sources:
                median, least = statistics.median(seconds[source][1:]), min(seconds[source][1:])
                shown = name if source is None else f"{name}, other"
                print(f"{shown:<40}{median:8.2f}{least:8.2f}", flush=True)
                rows.append({"command": shown, "median": median, "least": least, "runs": runs})
        write_rows("startup", rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
