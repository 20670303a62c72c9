"""A client that openapi-python-client generates from the server's own description: bulk upload, search, keys."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from scripts import openapi_client

from tests.support.drawn_images import drawn, encoded
from tests.support.requirements import skip_or_fail
from tests.support.server.api import live
from tests.support.waiting import HANG_SECONDS

CONFIG = """\
content_type_overrides:
  image/jpeg: application/octet-stream
  image/*: application/octet-stream
"""
"""As docs/api.md says: the generator knows no images, only bytes."""
USE = """
import json, sys
from io import BytesIO
from pathlib import Path

from lookalike_client import AuthenticatedClient
from lookalike_client.api.images import delete_image, get_image, get_thumbnail, list_images, put_images
from lookalike_client.api.keys import create_key
from lookalike_client.api.search import search_batch
from lookalike_client.models import CreateKey, PutImagesFilesBody, QuerySource, SearchBatchRequest
from lookalike_client.types import File

url, token, folder = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token)
files = [
    File(payload=BytesIO(path.read_bytes()), file_name=path.name, mime_type="image/png")
    for path in sorted(Path(folder).glob("*"))
]
added = put_images.sync(client=client, body=PutImagesFilesBody(file=files), attributes=json.dumps({"album": "Alps"}))
found = search_batch.sync(
    client=client,
    body=SearchBatchRequest(images=[QuerySource(key="1.png"), QuerySource(key="none.png")], k=1),
)
key = create_key.sync(client=client, body=CreateKey(label="made by a generated client", lifetime=60.0))
reply = {
    "outcomes": [[one.key, one.outcome.value, one.reason] for one in added.outcomes],
    "error": added.error,
    "listed": [[image.key, image.attributes.to_dict()] for image in list_images.sync(client=client).images],
    "hits": [answer.answer and answer.answer.hits[0].key for answer in found.answers],
    "errors": [answer.error and answer.error.status for answer in found.answers],
    "thumbnail": get_thumbnail.sync(key="1.png", client=client).payload.read()[:3].hex(),
    "key": key.key[:3],
    "missing": get_image.sync(key="none.png", client=client).status,
    "deleted": delete_image.sync_detailed(key="1.png", client=client).status_code,
}
print(json.dumps(reply))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return openapi_client.install()
    except openapi_client.Missing as error:
        skip_or_fail(str(error))
        raise


def test_a_generated_client_uploads_and_searches(python: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(3):
        (photos / f"{n}.png").write_bytes(encoded(drawn(n)))
    (photos / "notes.png").write_bytes(b"no image")
    (tmp_path / "config.yaml").write_text(CONFIG)
    with live(tmp_path / "gallery") as (url, gallery):
        _, token = gallery.catalog.api_keys.create("admin")
        headers = {"Authorization": f"Bearer {token}"}
        document = tmp_path / "openapi.json"
        document.write_text(
            httpx.get(f"{url}/v1/openapi.json", headers=headers, timeout=HANG_SECONDS).raise_for_status().text
        )
        generate = ["generate", "--path", document, "--config", tmp_path / "config.yaml", "--meta", "none"]
        command = [python, "-m", "openapi_python_client", *generate, "--output-path", tmp_path / "lookalike_client"]
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
        assert "putImages" not in made.stdout  # no part of it was left out
        (tmp_path / "use.py").write_text(USE)
        used = subprocess.run(
            [python, "use.py", url, token, photos],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert used.returncode == 0, used.stdout + used.stderr
    reply = json.loads(used.stdout)
    assert [one[:2] for one in reply["outcomes"]] == [
        *([f"{n}.png", "added"] for n in range(3)),
        ["notes.png", "rejected"],
    ]
    assert reply["outcomes"][3][2].startswith("not_an_image: ")
    assert reply["listed"] == [[f"{n}.png", {"album": "Alps"}] for n in range(3)]
    assert (reply["hits"], reply["errors"]) == (["1.png", None], [None, 404])
    assert (reply["error"], reply["thumbnail"], reply["key"], reply["missing"], reply["deleted"]) == (
        None,
        "ffd8ff",
        "lk_",
        404,
        204,
    )
