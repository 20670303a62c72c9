"""A run of pytest that starts a server of each kind and waits to be interrupted (test_interrupted_run.py).

Its name keeps it out of ordinary runs. PostgreSQL and `serve` are real; for Elasticsearch and Milvus, which take long
to start, programs stand in that only wait, started by the helpers that start the real ones.
"""

import json
import os
import time
from pathlib import Path

import psutil
import pytest
from scripts import milvus
from scripts.elasticsearch import Node

from tests.support import supervisor
from tests.support.browser.served_galleries import init, serve
from tests.support.engines import postgresql

WAITING_SECONDS = 300
SCRIPT = "#!/bin/sh\nsleep 300 &\nwait\n"


def stand_in(file: Path) -> Path:
    """A program that waits in a child of its own."""
    file.parent.mkdir(parents=True)
    file.write_text(SCRIPT)
    file.chmod(0o755)
    for folder in file.parents[:3]:
        folder.chmod(0o755)
    return file


def elasticsearch(folder: Path) -> int:
    """Start the stand-in for Elasticsearch; returns its process."""
    stand_in(folder / "home" / "bin" / "elasticsearch")
    (folder / "home" / "config").mkdir()
    (folder / "node").mkdir()
    node = Node(folder / "home", folder / "node", environment=supervisor.environment())
    node.prepare()
    process = node.start(wait=False)._process
    assert process is not None
    return process.pid


def milvus_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Start the stand-in for Milvus; returns its process."""
    data = folder / "milvus" / "data"
    stand_in(data / "bin" / "milvus")
    for name in ("config.yaml.template", "glog.conf"):
        (data / name).touch()
    monkeypatch.setattr(milvus, "install", lambda: folder)
    (folder / "server").mkdir()
    return milvus.MilvusServer(folder / "server").start(wait=False).pid


def test_wait_with_servers_of_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = supervisor.run_folder()
    assert folder is not None
    (folder / "stand-ins").mkdir()
    pids = {
        "elasticsearch": elasticsearch(folder / "stand-ins" / "elasticsearch"),
        "milvus": milvus_server(folder / "stand-ins" / "milvus", monkeypatch),
    }
    postgresql.server()
    pids["postgresql"] = next(p.pid for p in psutil.process_iter() if is_postmaster(p, folder))
    with serve(init(tmp_path / "gallery")) as served:
        pids["serve"] = served.process.pid
        ready = Path(os.environ["READY_FILE"])
        ready.with_suffix(".part").write_text(json.dumps({"folder": str(folder), "pids": pids}))
        ready.with_suffix(".part").rename(ready)
        time.sleep(WAITING_SECONDS)


def is_postmaster(process: psutil.Process, folder: Path) -> bool:
    """Whether this is the PostgreSQL of the run."""
    try:
        return process.name() == "postgres" and process.cwd().startswith(str(folder))
    except psutil.Error:
        return False
