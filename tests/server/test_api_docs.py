"""The commands of docs/api.md, as a reader would type them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.drawn_images import drawn, encoded
from tests.support.requirements import skip_or_fail
from tests.support.server.api import live

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def commands() -> list[str]:
    """The lines of the page's shell examples, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def test_every_command_of_the_page_works(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        skip_or_fail("no curl")
    (tmp_path / "photo.jpg").write_bytes(encoded(drawn(1, (320, 240)), "JPEG"))
    (tmp_path / "copy.jpg").write_bytes(encoded(drawn(1, (160, 120)), "JPEG", quality=60))
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    assert len(commands()) > 15
    answers = {}
    with live(tmp_path / "g") as (url, _):
        for command in commands():
            ran = subprocess.run(
                command.replace("http://127.0.0.1:8000", url),
                shell=True,
                cwd=tmp_path,
                env=os.environ | {"CURL_HOME": str(tmp_path), "HOME": str(tmp_path)},
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert ran.returncode == 0, f"{command}\n{ran.stdout.decode()}\n{ran.stderr.decode()}"
            answers[command] = ran.stdout.decode()
    [searched] = [answer for command, answer in answers.items() if "search?k=5" in command and "-F file" in command]
    assert '"evidence":"copy"' in searched
    [line] = [answer for command, answer in answers.items() if "x-ndjson" in command]
    assert '"outcome": "duplicate"' in line
