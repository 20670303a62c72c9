"""What old galleries are asked, how their answers are compared, and how such galleries are filled."""

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from tests.golden.access import Gallery, Object, refused

DATA = Path(__file__).parent / "data"
IMAGES = DATA / "images"

DISTANCE = {"phash": 1 / 64 + 1e-6, "vgg16": 0.004, "sha256": 0.0, "pixels": 0.0}
"""How far distances of an image file may be from the recorded: one bit; four times what fp32 and bf16 differ by."""
STORED = {"phash": 1e-6, "vgg16": 1e-3, "sha256": 0.0, "pixels": 0.0}
"""The same for stored images, whose features are not computed again."""


def unpacked(packed: Path, where: Path) -> Path:
    """A recorded gallery's folder, as it was made."""
    with tarfile.open(packed) as tar:
        tar.extractall(where / "gallery", filter="data")
    return where / "gallery"


# -- filling

FILES = {name: IMAGES / f"{name}.jpg" for name in ("one", "two", "three", "four", "five", "to delete")}
FILES |= {name: IMAGES / f"{name}.jpg" for name in ("one-hard", "two-framed", "three-cropped", "four-mirrored")}
BYTES = {"bytes/six ü.png": IMAGES / "six.png", "bytes/six again.png": IMAGES / "six-again.png"}
BYTES |= {"bytes/five.jpg": IMAGES / "five.jpg", "flat.png": IMAGES / "flat.png"}
OTHER = {"one": IMAGES / "two.jpg", "seven": IMAGES / "seven.jpg", "seven-grey": IMAGES / "seven-grey.jpg"}
LATER = {"bytes/seven.jpg": IMAGES / "seven.jpg", "three": IMAGES / "eight.jpg"}
"""Added when the snapshots are written already; the second takes the place of another image."""
ATTRIBUTES: Mapping[str, Object] = {
    "one": {"album": "Alps", "year": 2019, "rating": 4.5, "tags": ["a", "b"]},
    "two": {"album": "Alps", "year": 2021, "public": True},
    "three": {"album": "Zürich", "year": 2020, "note": None},
    "four": {"album": "sea", "year": 1999},
    "one-hard": {"album": "Alps", "year": 2019},
    "bytes/six ü.png": {"album": "Zürich", "nested": {"deep": [1, {"more": "x"}]}},
    "seven": {"album": "Alps"},
}
OTHER_TENANT = "other tenant"


def fill(gallery: Gallery, *, repair: bool = True) -> list[Object]:
    """Put the images into a new gallery; gives the outcomes. A repair writes the indexes' snapshots."""
    outcomes = gallery.add_files(FILES, ATTRIBUTES, "default")
    outcomes += gallery.add_bytes(BYTES, ATTRIBUTES, "default")
    outcomes += gallery.add_files(OTHER, ATTRIBUTES, OTHER_TENANT)
    if repair:
        gallery.repair()
    gallery.remove(["to delete"])
    outcomes += gallery.add_bytes(LATER, {}, "default")
    gallery.set_attributes("five", {"album": "Alps", "year": 2022})
    gallery.not_a_match(["two", "two-framed"])
    gallery.sync_indexes()
    return outcomes


def again(gallery: Gallery) -> list[Object]:
    """Add the same images once more, as bytes, where they are."""
    there = {name: file for name, file in {**FILES, **BYTES, **LATER}.items() if name != "to delete"}
    return gallery.add_bytes(there, {}, "default") + gallery.add_bytes(OTHER, {}, OTHER_TENANT)


# -- asking

QUERIES = ("one", "two", "three", "four", "five", "to delete", "one-hard", "two-framed", "three-cropped")
QUERIES += ("four-mirrored", "seven", "seven-grey", "eight", "query", "query-new")
FEW_QUERIES = ("one", "three-cropped", "four-mirrored", "query-new")
"""Queries, besides all stored images, to which an index that was rebuilt is compared; the others add nothing."""
FILTERS: tuple[Object, ...] = (
    {"album": "Alps"},
    {"album": {"ne": "Alps"}},
    {"album": {"in": ["Zürich", "sea"]}},
    {"year": {"gte": 2020}},
    {"year": {"lt": 2020}, "album": "Alps"},
    {"rating": {"exists": True}},
    {"year": {"exists": False}},
    {"public": True},
    {"rating": 4.5},
)


def questions(
    pipelines: tuple[str, ...], *, keys: bool = True, few: bool = False
) -> dict[str, Callable[[Gallery], Any]]:
    """What is asked, by name. Without `keys` nothing is asked that takes stored features.

    With `few`, only some files are searched for: a network looks at each, and pixels are compared.
    """

    def named(name: str) -> Path:
        return next(file for file in (IMAGES / f"{name}.jpg", IMAGES / f"{name}.png") if file.exists())

    asked: dict[str, Callable[[Gallery], Any]] = {}

    def search(title: str, file: str, **options: Any) -> None:
        asked[f"search {title}"] = lambda gallery: gallery.search(named(file), k=50, **options)

    def list_(title: str, **options: Any) -> None:
        asked[f"list {title}"] = lambda gallery: gallery.records(**options)

    for name in FEW_QUERIES if few else (*QUERIES, "six", "six-again", "flat"):
        search(name, name)
    asked["search one, in full"] = lambda gallery: gallery.search_in_full(named("one"), k=3)
    for pipeline in pipelines:
        for name in ("query",) if few else ("one", "query", "query-new", "flat"):
            search(f"{name} by {pipeline}", name, pipelines=[pipeline])
    for conditions in FILTERS[:2] if few else FILTERS:
        search(f"query where {conditions}", "query", filter=conditions)
        list_(f"where {conditions}", filter=conditions)
    search("one of the other tenant", "one", tenant=OTHER_TENANT)
    search("seven of the other tenant", "seven", tenant=OTHER_TENANT)
    search("one of an unknown tenant", "one", tenant="nobody")
    search("one of all tenants", "one", tenant=None)
    search("query up to 0.15", "query", threshold=0.15)
    search("four-mirrored as it lies", "four-mirrored", orientations=False)
    asked["search one, page 2"] = lambda gallery: gallery.search(named("one"), k=2, page=2)
    list_("all")
    list_("of the other tenant", tenant=OTHER_TENANT)
    list_("of a prefix, after a key", prefix="bytes/", after="bytes/five.jpg", limit=2)
    for pair in (("one", "one-hard"), ("two", "two-framed"), ("six", "six-again"), ("one", "two"), ("five", "flat")):
        asked[f"compare {pair[0]} and {pair[1]}"] = partial(lambda p, g: g.compare(named(p[0]), named(p[1])), pair)
    asked["status"] = lambda gallery: gallery.status()
    asked["the removed one is refused"] = lambda gallery: refused(lambda: gallery.record("to delete"))
    for key in BYTES:
        asked[f"thumbnail of {key}"] = partial(lambda k, gallery: _seen(gallery.thumbnail(k)), key)
    if keys:
        _with_features(asked)
    return asked


def _with_features(asked: dict[str, Callable[[Gallery], Any]]) -> None:
    for key in sorted({*FILES, *BYTES, *LATER} - {"to delete"}):
        asked[f"search key {key}"] = partial(lambda k, gallery: gallery.search_key(k, k=50), key)
    asked["search key one of the other tenant"] = lambda gallery: gallery.search_key(
        "one", k=50, of=OTHER_TENANT, tenant=OTHER_TENANT
    )
    asked["search key seven of the other tenant in ours"] = lambda gallery: gallery.search_key(
        "seven", k=50, of=OTHER_TENANT, tenant="default"
    )
    asked["search key one, filtered"] = lambda gallery: gallery.search_key("one", k=50, filter={"album": "Alps"})
    asked["the removed one as a query is refused"] = lambda gallery: refused(lambda: gallery.search_key("to delete"))
    for pair in (("one", "one-hard"), ("five", "bytes/five.jpg"), ("bytes/six ü.png", "bytes/six again.png")):
        asked[f"compare keys {pair[0]} and {pair[1]}"] = partial(lambda p, g: g.compare_keys(*p), pair)
    asked["duplicates"] = lambda gallery: gallery.duplicates()
    asked["duplicates by phash"] = lambda gallery: gallery.duplicates(pipelines=["phash"])
    asked["duplicates of the other tenant"] = lambda gallery: gallery.duplicates(tenant=OTHER_TENANT)


def _seen(data: bytes) -> Object:
    """What a thumbnail shows: its size and its mean colour."""
    with Image.open(io.BytesIO(data)) as image:
        [colour] = image.convert("RGB").resize((1, 1), Image.Resampling.BOX).get_flattened_data()
        return {"format": image.format, "size": list(image.size), "colour": list(colour)}


# -- comparing


MIRRORED = ["four", "four-mirrored"]


def differences(asked: str, expected: Any, found: Any) -> list[str]:
    """How an answer differs from the recorded one; distances are compared as exactly as they can be."""
    stored = " key" in asked or "duplicates" in asked
    if asked in ("duplicates", "duplicates by phash"):
        # Version 0.1 did not compare hashes of mirrored images: by the network alone it found the one in the gallery.
        if MIRRORED not in [cluster["keys"] for cluster in found]:
            return [f": no cluster {MIRRORED}"]
        expected, found = ([one for one in each if one["keys"] != MIRRORED] for each in (expected, found))
    return list(_differ("", _as_now(asked, expected), found, STORED if stored else DISTANCE))


def _as_now(asked: str, expected: Any) -> Any:
    """A recorded answer without what 0.1.0 said of a flat image: no pipeline compares anything with one any more."""
    if asked.startswith("search flat"):
        nothing = dict.fromkeys(expected["exact_within"])
        return {**expected, "hits": expected["hits"][:1], "more": False, "exact_within": nothing}
    if asked == "search key flat.png":
        return {**expected, "exact_within": {**expected["exact_within"], "phash": None}}
    if asked == "compare five and flat":
        return {**expected, "measured": [{**measured, "distance": None} for measured in expected["measured"]]}
    return expected


def _differ(at: str, expected: Any, found: Any, near: Mapping[str, float]) -> Iterator[str]:
    if at.endswith(".hits"):
        yield from _hits(at, expected, found, near)
    elif isinstance(expected, dict) and isinstance(found, dict):
        for name in expected | found:
            if name not in expected or name not in found:
                yield f"{at}.{name}: {'not expected' if name not in expected else 'missing'}"
            elif name == "distance":
                pipeline = expected.get("pipeline")
                allowed = near[pipeline] if pipeline else max(near.values())
                yield from _numbers(f"{at}.{name}", expected[name], found[name], allowed)
            else:
                yield from _differ(f"{at}.{name}", expected[name], found[name], near)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (one, other) in enumerate(zip(expected, found, strict=True)):
            if at.endswith(".colour"):
                yield from _numbers(at, one, other, 3)
            else:
                yield from _differ(f"{at}[{place}]", one, other, near)
    elif isinstance(expected, float):
        yield from _numbers(at, expected, found, 1e-6)
    elif expected != found:
        yield f"{at}: {found} instead of {expected}"


def _numbers(at: str, expected: Any, found: Any, allowed: float) -> Iterator[str]:
    numbers = isinstance(expected, int | float) and isinstance(found, int | float)
    if expected != found and not (numbers and abs(expected - found) <= allowed):
        yield f"{at}: {found} instead of {expected}"


def _hits(at: str, expected: list[Any], found: list[Any], near: Mapping[str, float]) -> Iterator[str]:
    """The same hits in the same order, but that those of equal worth, within the tolerance, may change places."""
    by_id, rank = {hit[0]: hit for hit in expected}, {hit[0]: n for n, hit in enumerate(expected)}
    if {hit[0] for hit in found} != set(by_id) or len(found) != len(expected):
        yield f"{at}: {[hit[1] for hit in found]} instead of {[hit[1] for hit in expected]}"
        return
    for place, hit in enumerate(found):
        one = by_id[hit[0]]
        if hit[:4] != one[:4]:
            yield f"{at}: {hit} instead of {one}"
        yield from _numbers(f"{at}[{hit[1]}]", one[4], hit[4], near[one[3]])
        for later in found[place + 1 :]:
            other = by_id[later[0]]
            equal = one[2:4] == other[2:4] and abs(one[4] - other[4]) <= 2 * near[one[3]]
            if rank[hit[0]] > rank[later[0]] and not equal:
                yield f"{at}: {hit[1]} comes before {later[1]}"
