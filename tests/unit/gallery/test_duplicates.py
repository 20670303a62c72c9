"""Clusters of copies: judgements, stable names, and going on from a key."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookalike
from lookalike.catalog import NewImage
from lookalike.encoders.phash import STORED_VIEWS, VIEWS, PHash
from lookalike.errors import BadInput, NotFound
from lookalike.gallery import Gallery
from lookalike.gallery.duplicates import ClusterOptions, find_clusters
from lookalike.gallery.links import max_link_distance
from lookalike.results import Cluster
from lookalike.types import Item
from tests.support.drawn_images import drawn, encoded

TURNS = [
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve families a to l of three images each (a1, a2, a3: as JPEG of three qualities) and strangers between."""
    folder = tmp_path_factory.mktemp("families") / "gallery"
    with lookalike.open(folder, pipelines=["phash"], create=True) as service:
        items = [
            Item(f"{family}{quality // 30}", encoded(drawn(seed), "JPEG", quality=quality))
            for seed, family in enumerate("abcdefghijkl")
            for quality in (30, 60, 90)
        ]
        items += [Item(f"{family}9", encoded(drawn(100 + seed))) for seed, family in enumerate("abcdefghijkl")]
        service.add(items)
    return folder


@pytest.fixture
def gallery(families: Path, tmp_path: Path) -> Iterator[Gallery]:
    """A copy of the families' gallery."""
    with lookalike.open(shutil.copytree(families, tmp_path / "gallery")) as service:
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
    gallery.not_a_match(["a1", "a2"])
    assert keys(gallery.duplicates())[0] == {"a1", "a2", "a3"}  # both are copies of a3, which has the most bytes
    gallery.not_a_match(["a1", "a3"])
    assert keys(gallery.duplicates())[0] == {"a2", "a3"}
    assert gallery.search(encoded(drawn(0), "JPEG", quality=30)).hits[1].evidence == "copy"  # searching is not judged


def test_twins_may_be_kept_on_purpose(gallery: Gallery) -> None:
    data = encoded(drawn(200))
    gallery.add([Item("twin 1", data), Item("twin 2", data)])
    assert {"twin 1", "twin 2"} in keys(gallery.duplicates())
    gallery.not_a_match(["twin 1", "twin 2"])
    assert {"twin 1", "twin 2"} not in keys(gallery.duplicates())


def test_judgements_of_unknown_images(gallery: Gallery) -> None:
    for answer in (["a1", "nobody"], ["nobody", "a1"]):
        with pytest.raises(NotFound):
            gallery.not_a_match(answer)
    for answer in ([], ["a1"], ["a1", "a1"]):
        with pytest.raises((BadInput, NotFound)):
            gallery.not_a_match(answer)
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


def pages(gallery: Gallery, limit: int = 7) -> list[set[str]]:
    after, found = None, []
    while True:
        page = gallery.duplicates_page(after=after, limit=limit)
        found += keys(iter(page.clusters))
        after = page.after
        if after is None:
            return found


@pytest.mark.parametrize("joined", [0, 10**6])
def test_turned_and_mirrored_copies_are_in_the_cluster(
    tmp_path: Path, joined: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.gallery.duplicates.JOINED_AT_ONCE", joined)
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        for seed in range(3):
            gallery.add([Item(f"{seed}", encoded(drawn(seed)))])
            gallery.add([Item(f"{seed} {turn.name}", encoded(drawn(seed).transpose(turn))) for turn in TURNS])
        expected = [{f"{seed}", *(f"{seed} {turn.name}" for turn in TURNS)} for seed in range(3)]
        assert keys(gallery.duplicates()) == pages(gallery) == expected


def test_a_copy_of_a_copy_is_in_another_cluster(tmp_path: Path) -> None:
    """A chain of hashes, each 8 bits from the next one: only neighbours are copies of each other."""
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        put_hashes(gallery, [chain_hash(number) for number in range(6)], areas=[1, 9, 2, 3, 5, 4])
        found = [[image.key for image in cluster.images] for cluster in gallery.duplicates()]
    assert found == [["01", "00", "02"], ["04", "03", "05"]]


@pytest.mark.parametrize("seed", range(3))
def test_every_member_was_confirmed_as_a_copy_of_the_first(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        put_hashes(gallery, near_hashes(rng, 60))
        [pipeline] = [opened.pipeline for opened in gallery._pipelines.open()]
        asked: set[tuple[int, int]] = set()
        refused: set[tuple[int, int]] = set()

        def check(pairs: Sequence[tuple[int, int]]) -> list[bool]:
            assert not asked & {*pairs}
            asked.update(pairs)
            refused.update(pair for pair in pairs if sum(pair) % 3 == 0)
            return [pair not in refused for pair in pairs]

        options = ClusterOptions(check, preference=lambda image: (image.key,))
        clusters = list(find_clusters(gallery.catalog, [pipeline], 1, options=options))
    assert refused
    assert len(clusters) > 3
    for cluster in clusters:
        first, *others = cluster.images
        assert all(first.key < image.key for image in others)
        assert {(first.id, image.id) for image in others} <= asked - refused


def chain_hash(number: int) -> np.ndarray:
    bits = np.zeros(64, np.uint8)
    bits[: 8 * number] = 1
    return np.packbits(bits)


def near_hashes(rng: np.random.Generator, number: int) -> list[np.ndarray]:
    codes: list[np.ndarray] = []
    for at in range(number):
        bits = rng.integers(0, 2, 64, dtype=np.uint8) if at % 6 == 0 else np.unpackbits(codes[-1])
        bits[rng.integers(0, 64, rng.integers(1, 4))] ^= 1
        codes.append(np.packbits(bits))
    return codes


def put_hashes(
    gallery: Gallery, codes: Sequence[np.ndarray], *, areas: Sequence[int] = (), distinct: int = 10**6
) -> dict[str, bytes]:
    """Store images by their hashes, keys 00, 01, ...; the digests, which repeat after `distinct` images."""
    spec = PHash().spec
    tenant = gallery.catalog.tenants.get_or_create("default")
    digests = {f"{n:02}": hashlib.sha256(f"{n % distinct}".encode()).digest() for n in range(len(codes))}
    for number, ((key, digest), code) in enumerate(zip(digests.items(), codes, strict=True)):
        width = areas[number] if areas else 9
        row = {spec: code}
        gallery.catalog.images.put([NewImage(tenant, key, None, digest, 1, width, 9, "PNG", features=row)])
    return digests


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_a_plain_comparison_of_all_pairs(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random hashes near one another, random judgements: the clusters, made the slow way."""
    rng = np.random.default_rng(seed)
    encoder = PHash()
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as service:
        codes = near_hashes(rng, 50)
        codes += codes[:10]  # the same bytes have the same hash
        digests = put_hashes(service, codes, distinct=50)
        judged = [tuple(rng.choice(sorted(digests), 2, replace=False).tolist()) for _ in range(40)]
        judged += [(f"{n:02}", f"{n + 1:02}") for n in range(0, 58, 3)]
        for pair in judged:
            service.not_a_match(pair)
        found = keys(service.duplicates())
        monkeypatch.setattr("lookalike.gallery.duplicates.JOINED_AT_ONCE", 0)
        monkeypatch.setattr("lookalike.gallery.duplicates.SEEDS", 7)
        monkeypatch.setattr("lookalike.gallery.links.NEIGHBOURS", 2)
        searched = pages(service)
        [pipeline] = [opened.pipeline for opened in service._pipelines.open()]
        limit = max_link_distance(pipeline, len(codes)) * 64
    features = np.stack(codes)
    views = encoder.all_views(features, encoder.estimated_views(features))
    bits = np.bitwise_count(views[:, None] ^ features[None, :, None]).sum(axis=3).min(axis=2)
    bits = np.maximum(bits, bits.T)
    apart = {frozenset((digests[a], digests[b])) for a, b in judged}
    expected, taken = [], set()
    for key in sorted(digests):
        copies = {
            other
            for other in digests
            if other not in taken | {key}
            and (digests[key] == digests[other] or bits[int(key), int(other)] <= limit)
            and frozenset((digests[key], digests[other])) not in apart
        }
        if key not in taken and copies:
            expected.append({key, *copies})
            taken |= {key, *copies}
    assert found == searched == sorted(expected, key=min)
    assert len(found) > 3


def test_the_views_of_a_hash_follow_from_the_stored_ones() -> None:
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (300, 32, 32), dtype=np.uint8)
    encoder = PHash()
    encoded_images, stored = encoder.encode_stored(images)
    views = encoder.encode_views(images).features
    assert np.array_equal(encoder.all_views(encoded_images.features, stored), views)
    estimated = encoder.estimated_views(encoded_images.features).reshape(-1, len(STORED_VIEWS), 8)
    exact = views[:, [VIEWS.index(view) for view in STORED_VIEWS]]
    assert np.bitwise_count(estimated ^ exact).sum(axis=2).mean() < 8
