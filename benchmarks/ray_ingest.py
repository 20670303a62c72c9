"""Adding a manifest through Ray on this machine, beside processes of `lookalike add --manifest --shard`, in turns.

    python -m benchmarks.ray_ingest [--files 8000] [--rounds 2]

Photos with a different comment each, pipeline `phash`, catalog in a PostgreSQL of its own. Processor time is that of
all processes of a run but PostgreSQL's, with their start: `--files 1` shows how much of it that is.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import URL, NullPool, create_engine, make_url

from benchmarks.ingest import make_files
from benchmarks.machine import describe
from lookalike.config import GallerySettings, from_environment
from lookalike.factory import create_gallery

SCRIPT = Path(__file__).parents[1] / "scripts" / "postgresql.py"
FILES = 8
MARK = "LOOKALIKE_BENCHMARK_RUN"
SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock and of the processor."""

    elapsed: float
    cpu: float


def measured(commands: Sequence[Sequence[str]], mark: str) -> Cost:
    """Run commands side by side to their end; every process that they start has a variable by which it is found."""
    environment = os.environ | {MARK: mark}
    seconds: dict[tuple[int, float], float] = {}
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            for process in psutil.process_iter():
                try:
                    if (process.pid, process.create_time()) in seconds or process.environ().get(MARK) == mark:
                        times = process.cpu_times()
                        seconds[process.pid, process.create_time()] = times.user + times.system
                except psutil.Error:
                    continue

    began = time.monotonic()
    sampler = threading.Thread(target=sample)
    sampler.start()
    running = [subprocess.Popen([*command], env=environment, stderr=subprocess.DEVNULL) for command in commands]
    codes = [process.wait() for process in running]
    elapsed = time.monotonic() - began
    done.set()
    sampler.join()
    if any(codes):
        raise SystemExit(f"exit codes {codes} of {commands}")
    return Cost(elapsed, sum(seconds.values()))


def main() -> None:
    """Print a line for each way, and each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "photos").mkdir()
        paths = make_files(root / "photos", arguments.files, None)
        for part in range(FILES):
            rows = {
                "uri": [str(path) for path in paths[part::FILES]],
                "key": [path.name for path in paths[part::FILES]],
            }
            pq.write_table(pa.table(rows), root / f"{part}.parquet")
        server = [sys.executable, str(SCRIPT), "start", str(root / "server"), "--fast"]
        url = make_url(subprocess.run(server, capture_output=True, text=True, check=True).stdout.strip())
        try:
            costs: dict[str, list[Cost]] = {}
            for turn in range(arguments.rounds):
                for way in ("ray", "shards"):
                    costs.setdefault(way, []).append(one_run(way, root, url, f"{way}{turn}"))
                    print(f"{way}: {costs[way][-1]}", flush=True)
        finally:
            subprocess.run([sys.executable, str(SCRIPT), "stop", str(root / "server")], check=False)
    for way, several in costs.items():
        cpu = statistics.median(cost.cpu for cost in several)
        elapsed = statistics.median(cost.elapsed for cost in several)
        each = 1000 * cpu / arguments.files
        print(f"{way}: {each:.2f} ms of processor time an image, {arguments.files / elapsed:,.0f} images/s")


def one_run(way: str, root: Path, url: URL, name: str) -> Cost:
    """Add all images into a new gallery."""
    engine = create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name}")
    address = url.set(database=name).render_as_string(hide_password=False)
    folder = root / name
    create_gallery(folder, GallerySettings(("phash",), catalog=address, verification_records="off"), from_environment())
    program = [sys.executable, "-m", "lookalike"]
    words = ["--gallery", str(folder), "--manifest", f"{root}/*.parquet"]
    if way == "ray":
        return measured([[*program, "ingest", *words, "--ray", "local", "--workers", "1"]], name)
    return measured([[*program, "add", *words, "--shard", f"{n}/2"] for n in (1, 2)], name)


if __name__ == "__main__":
    main()
