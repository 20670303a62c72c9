"""docs/recipes.md, followed: the route that it shows works, is documented, and needs a key once there is one."""

import re
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
from fastapi.testclient import TestClient

from lookalike.factory import open_gallery
from lookalike.server import app as server_app
from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import application

RECIPE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


@pytest.fixture
def route() -> ModuleType:
    """The module in the recipe's section on routes."""
    [code] = re.findall(r"```python\n(.*?)```", RECIPE.split("## How to add a route")[1], re.DOTALL)
    module = ModuleType("newest")
    exec(textwrap.dedent(code), vars(module))
    return module


def test_the_route(tmp_path: Path, route: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_app, "ROUTERS", (*server_app.ROUTERS, route))
    with (
        open_gallery(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery,
        TestClient(application(gallery), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as client,
    ):
        assert client.get("/v1/newest").json()["type"] == "urn:lookalike:error:not-found"
        for key in ("a", "b"):
            gallery.put(key, encoded(drawn(1)))
        assert client.get("/v1/newest").json()["key"] == "b"
        operation = client.get("/v1/openapi.json").json()["paths"]["/v1/newest"]["get"]
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Image")
        gallery.catalog.api_keys.create("read", tenant="default")
        assert client.get("/v1/newest").status_code == 401
