"""Clusters of copies: judgements, stable names, and going on from a key."""

import hashlib
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import lookalike
from lookalike.catalog import NewImage
from lookalike.errors import BadInput, NotFound
from lookalike.gallery import Gallery
from lookalike.gallery.duplicates import _NeighbourGraph
from lookalike.results import Cluster
from lookalike.types import Item
from tests.support.drawn_images import drawn, encoded


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Twelve families a to l of three images each (a1, a2, a3: as JPEG of three qualities) and strangers between."""
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as service:
        items = [
            Item(f"{family}{quality // 30}", encoded(drawn(seed), "JPEG", quality=quality))
            for seed, family in enumerate("abcdefghijkl")
            for quality in (30, 60, 90)
        ]
        items += [Item(f"{family}9", encoded(drawn(100 + seed))) for seed, family in enumerate("abcdefghijkl")]
        service.add(items)
        yield service


def keys(clusters: Iterator[Cluster]) -> list[set[str]]:
    return [{image.key for image in cluster.images} for cluster in clusters]


def test_a_judgement_of_all_parts_for_good(gallery: Gallery) -> None:
    assert keys(gallery.duplicates())[0] == {"a1", "a2", "a3"}
    gallery.not_a_match(["a1", "a2", "a3"])
    assert keys(gallery.duplicates())[0] == {"b1", "b2", "b3"}
    data = encoded(drawn(0), "JPEG", quality=30)
    gallery.remove("a1")
    gallery.put("z again", data)
    assert len(keys(gallery.duplicates())) == 11  # what was said of its bytes holds when it comes back
    gallery.not_a_match_undo(["z again", "a2", "a3"])
    assert keys(gallery.duplicates())[0] == {"z again", "a2", "a3"}


def test_a_judgement_is_of_the_pair(gallery: Gallery) -> None:
    gallery.not_a_match(["a1", "a3"])
    assert keys(gallery.duplicates())[0] == {"a1", "a2", "a3"}  # both are copies of a2
    gallery.not_a_match(["a1", "a2"])
    assert keys(gallery.duplicates())[0] == {"a2", "a3"}  # every pair over the cut is marked now
    assert gallery.search(encoded(drawn(0), "JPEG", quality=30)).hits[1].evidence == "copy"  # searching is not judged


def test_twins_may_be_kept_on_purpose(gallery: Gallery) -> None:
    data = encoded(drawn(200))
    gallery.add([Item("twin 1", data), Item("twin 2", data)])
    assert {"twin 1", "twin 2"} in keys(gallery.duplicates())
    gallery.not_a_match(["twin 1", "twin 2"])
    assert {"twin 1", "twin 2"} not in keys(gallery.duplicates())


def test_judgements_of_unknown_images(gallery: Gallery) -> None:
    for told in (["a1", "nobody"], ["nobody", "a1"]):
        with pytest.raises(NotFound):
            gallery.not_a_match(told)
    for told in ([], ["a1"], ["a1", "a1"]):
        with pytest.raises((BadInput, NotFound)):
            gallery.not_a_match(told)
    with pytest.raises(NotFound):
        gallery.not_a_match(["a1", "a2"], tenant="other")
    assert len(keys(gallery.duplicates())) == 12


@pytest.mark.parametrize("limit", [1, 5, 13])
@pytest.mark.parametrize("seeds", [2, 512])
def test_pages_are_the_whole(gallery: Gallery, limit: int, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.gallery.duplicates.SEEDS", seeds)
    whole = list(gallery.duplicates())
    assert len(whole) == 12
    after, paged = None, []
    while True:
        page = gallery.duplicates_page(after=after, limit=limit)
        assert len(page.clusters) <= limit
        paged += page.clusters
        after = page.after
        if after is None:
            break
    assert [cluster.id for cluster in paged] == [cluster.id for cluster in whole]
    assert keys(iter(paged)) == keys(iter(whole))


def test_clusters_that_reach_back_are_not_repeated(gallery: Gallery) -> None:
    gallery.put("zz", encoded(drawn(0), "JPEG", quality=50))  # a copy of family a, last by key
    page = gallery.duplicates_page(limit=1)
    assert keys(iter(page.clusters)) == [{"a1", "a2", "a3", "zz"}]
    rest = gallery.duplicates_page(after=page.after, limit=100)
    assert len(rest.clusters) == 11
    assert rest.after is None


def test_a_page_ends_in_time(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.gallery.duplicates.SEEDS", 3)
    after, found, pages = None, 0, 0
    while True:
        page = gallery.duplicates_page(after=after, limit=100, seconds=0.0)
        found, pages, after = found + len(page.clusters), pages + 1, page.after
        if after is None:
            break
    assert found == 12
    assert pages > 10


def test_names_stay_while_members_do(gallery: Gallery) -> None:
    before = {cluster.id: cluster for cluster in gallery.duplicates()}
    assert len(before) == 12
    gallery.set_attributes("a1", {"seen": True})
    gallery.put("b4", encoded(drawn(1), "JPEG", quality=45))
    after = {cluster.id for cluster in gallery.duplicates()}
    assert len(after & set(before)) == 11
    assert all(len(name) == 16 for name in after)
    for one, other in combinations(before.values(), 2):
        assert one.id != other.id


def test_limits_that_make_no_sense(gallery: Gallery) -> None:
    with pytest.raises(BadInput):
        gallery.duplicates_page(limit=0)
    assert gallery.duplicates_page(tenant="nobody").after is None
    assert gallery.duplicates_page(tenant="nobody").clusters == ()


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_a_plain_search_of_all_pairs(tmp_path: Path, seed: int) -> None:
    """Random hashes near one another, random judgements: the components of the graph, drawn the slow way."""
    rng = np.random.default_rng(seed)
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as service:
        service.add([Item("first", encoded(drawn(0)))])
        spec = service.catalog.features.specs()[0]
        tenant = service.catalog.tenants.get_or_create("default")
        codes, digests = {}, {}
        for number in range(60):
            code = rng.integers(0, 2, 64, dtype=np.uint8) if number % 6 == 0 else codes[f"{number - 1:02}"].copy()
            code[rng.integers(0, 64, rng.integers(1, 4))] ^= 1
            key = f"{number:02}"
            codes[key], digests[key] = code, hashlib.sha256(f"{number % 50}".encode()).digest()
            row = {spec: np.packbits(code)}
            service.catalog.images.put([NewImage(tenant, key, None, digests[key], 1, 9, 9, "PNG", features=row)])
        judged = [tuple(rng.choice(sorted(codes), 2, replace=False).tolist()) for _ in range(40)]
        judged += [(f"{n:02}", f"{n + 1:02}") for n in range(0, 58, 3)]
        for pair in judged:
            service.not_a_match(pair)
        found = {frozenset(members) for members in keys(service.duplicates())}
        [pipeline] = [opened.pipeline for opened in service._pipelines.open()]
        limit = _NeighbourGraph(service.catalog, [pipeline], tenant)._max_distances["phash"] * 64
    apart = {frozenset((digests[a], digests[b])) for a, b in judged}
    parts: list[set[str]] = [{key} for key in codes]
    for a, b in combinations(codes, 2):
        close = digests[a] == digests[b] or np.count_nonzero(codes[a] != codes[b]) <= limit
        if close and frozenset((digests[a], digests[b])) not in apart:
            joined = [part for part in parts if part & {a, b}]
            parts = [part for part in parts if not part & {a, b}] + [set().union(*joined)]
    assert found == {frozenset(part) for part in parts if len(part) > 1}
    assert len(found) > 3
