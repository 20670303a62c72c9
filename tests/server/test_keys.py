"""API keys over HTTP: created, listed, rotated, revoked, expired; admins of one tenant keep to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server.tenant_service import World

ID = "0123456789ab"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "gallery") as made:
        yield made


def create(world: World, who: str = "root", **wanted: Any) -> dict[str, Any]:
    answer = world.send(who, "POST", "/v1/keys", json=wanted)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    world.tokens[made["id"]] = made["key"]
    return made


def reads(world: World, who: str) -> int:
    return world.send(who, "GET", "/v1/images").status_code


def at(world: World, monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Let time pass."""
    now = world.service.catalog.api_keys.list_all()[-1].created
    monkeypatch.setattr("lookalike.server.api_key_cache.time", lambda: now + days * 86400)
    monkeypatch.setattr("lookalike.catalog.api_keys.time.time", lambda: now + days * 86400)


def test_a_key_is_created_used_listed_and_revoked(world: World) -> None:
    made = create(world, scope="write", tenant="bob", label="shop", limits={"rate": 5, "pixels": 10**6})
    assert (made["scope"], made["tenant"], made["label"], made["expires"]) == ("write", "bob", "shop", None)
    assert made["limits"] == {"rate": 5.0, "pixels": 10**6}
    assert reads(world, made["id"]) == 200
    listed = world.send("root", "GET", "/v1/keys").json()["api_keys"]
    [found] = [key for key in listed if key["id"] == made["id"]]
    assert found == {name: value for name, value in made.items() if name != "key"}
    assert made["key"] not in world.send("root", "GET", "/v1/keys").text
    gone = world.send("root", "POST", f"/v1/keys/{made['id']}:revoke")
    assert gone.status_code == 200
    assert gone.json()["revoked"] is not None
    assert reads(world, made["id"]) == 401


def test_a_key_expires(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create(world, lifetime=86400, tenant="alice")
    assert made["expires"] > made["created"]
    at(world, monkeypatch, 0.9)
    assert reads(world, made["id"]) == 200
    at(world, monkeypatch, 1.1)
    assert reads(world, made["id"]) == 401
    refused = world.send("root", "POST", f"/v1/keys/{made['id']}:rotate")
    assert refused.status_code == 400
    assert "expired" in refused.json()["detail"]


def test_a_key_is_rotated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old = create(world, scope="write", lifetime=10 * 86400, tenant="alice", limits={"burst": 3})
    at(world, monkeypatch, 4)
    answer = world.send("root", "POST", f"/v1/keys/{old['id']}:rotate", params={"grace": 86400})
    assert answer.status_code == 201
    new = answer.json()
    world.tokens["new"] = new["key"]
    assert (new["scope"], new["tenant"], new["limits"]) == (old["scope"], old["tenant"], old["limits"])
    assert reads(world, "new") == reads(world, old["id"]) == 200
    at(world, monkeypatch, 1.1)  # after the new one
    assert (reads(world, "new"), reads(world, old["id"])) == (200, 401)
    at(world, monkeypatch, 9.9)
    assert reads(world, "new") == 200
    at(world, monkeypatch, 10.1)
    assert reads(world, "new") == 401


def test_an_expiring_key_does_not_live_longer_by_rotation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old = create(world, lifetime=100)
    world.send("root", "POST", f"/v1/keys/{old['id']}:rotate", params={"grace": 10**6})
    at(world, monkeypatch, 101 / 86400)
    assert reads(world, old["id"]) == 401


def test_admins_of_a_tenant_keep_to_it(world: World) -> None:
    admin = "alice's admin"
    own = create(world, admin, scope="admin")
    assert own["tenant"] == "alice"
    foreign = create(world, tenant="bob")
    everywhere = create(world, any_tenant=True)
    assert {key["tenant"] for key in world.send(admin, "GET", "/v1/keys").json()["api_keys"]} == {"alice"}
    for id_ in (foreign["id"], everywhere["id"], ID):
        for verb in ("revoke", "rotate"):
            refused = world.send(admin, "POST", f"/v1/keys/{id_}:{verb}")
            assert refused.status_code == 404
            assert refused.json()["detail"] == f"there is no API key {id_!r}; `lookalike keys list` shows them"
    for wanted in ({"tenant": "bob"}, {"any_tenant": True}):
        assert world.send(admin, "POST", "/v1/keys", json=wanted).status_code == 403
    assert reads(world, foreign["id"]) == reads(world, everywhere["id"]) == 200


def test_others_may_not(world: World) -> None:
    for who in ("alice", "reader"):
        assert world.send(who, "GET", "/v1/keys").status_code == 403
        assert world.send(who, "POST", "/v1/keys", json={}).status_code == 403
        assert world.send(who, "POST", f"/v1/keys/{ID}:revoke").status_code == 403


@pytest.mark.parametrize(
    "wanted",
    [
        {"scope": "owner"},
        {"lifetime": 0},
        {"lifetime": -1},
        {"lifetime": 1e12},
        {"limits": {"rate": 0}},
        {"limits": {"rates": 1}},
        {"tenant": ""},
        {"tenant": "a\nb"},
        {"label": "x" * 201},
        {"expires": "tomorrow"},
    ],
)
def test_what_cannot_be_a_key_is_refused(world: World, wanted: dict[str, Any]) -> None:
    before = world.service.catalog.api_keys.list_all()
    assert world.send("root", "POST", "/v1/keys", json=wanted).status_code == 400
    assert world.service.catalog.api_keys.list_all() == before


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        (f"/v1/keys/{ID}:rotate", "this path takes no body; give grace in the query string"),
        (f"/v1/keys/{ID}:revoke", "this path takes no body; leave it out"),
        ("/v1/jobs/0:cancel", "this path takes no body; leave it out"),
    ],
)
def test_options_in_a_body_that_is_not_read_are_refused(world: World, path: str, detail: str) -> None:
    """Ignored, a grace of no time would leave the old key valid for the default one."""
    refused = world.send("root", "POST", path, json={"grace": 0})
    assert (refused.status_code, refused.json()["detail"]) == (400, detail)
    assert world.send("root", "POST", path, json={}).status_code == 404
    assert world.send("root", "POST", path).status_code == 404
