"""CPU seconds (user and system) of short commands, each a fresh process: `python -m benchmarks.startup [RUNS]`."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe, write_rows
from lookalike.samples import sample_paths

PROGRAM = (sys.executable, "-m", "lookalike")


def cpu_seconds(command: Sequence[str]) -> float:
    """What one run of the command takes, with its child processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(runs: int = 10) -> None:
    """Measure and print a table: median and minimum of `runs` runs after one that fills the file cache."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOOKALIKE_GALLERY"] = str(Path(folder) / "gallery")
        image = str(sample_paths()[0])
        subprocess.run([*PROGRAM, "init", "--pipelines", "phash"], stdout=subprocess.DEVNULL, check=True)
        subprocess.run([*PROGRAM, "add", str(sample_paths()[0].parent)], stdout=subprocess.DEVNULL, check=True)
        commands = {
            "python -c pass": (sys.executable, "-c", "pass"),
            "lookalike --version": (*PROGRAM, "--version"),
            "lookalike --help": (*PROGRAM, "--help"),
            "lookalike search --help": (*PROGRAM, "search", "--help"),
            "lookalike ls": (*PROGRAM, "ls"),
            "lookalike search IMAGE (hashes)": (*PROGRAM, "search", image),
        }
        print(describe())
        print(f"{'command':<34}{'median':>8}{'least':>8}   CPU s")
        rows = []
        for name, command in commands.items():
            cpu_seconds(command)
            seconds = [cpu_seconds(command) for _ in range(runs)]
            median, least = statistics.median(seconds), min(seconds)
            print(f"{name:<34}{median:8.2f}{least:8.2f}", flush=True)
            rows.append({"command": name, "median": median, "least": least, "runs": runs})
        write_rows("startup", rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
