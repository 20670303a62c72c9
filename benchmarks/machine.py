"""Description of the machine, and output of raw rows."""

import datetime
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lookalike.cpu import usable_cores


def describe() -> dict[str, Any]:
    """Date, processor, cores, Python."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": model,
        "cores": usable_cores(),
        "python": platform.python_version(),
    }


def write_rows(question: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Append raw rows to benchmarks/out/QUESTION.jsonl, each with the machine; gives the file."""
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    path = out / f"{question}.jsonl"
    machine = describe()
    with path.open("a") as file:
        file.writelines(json.dumps({**machine, **row}) + "\n" for row in rows)
    return path
