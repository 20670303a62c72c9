"""Several processes write to one catalog while others follow: nothing is missed, doubled, or stuck."""

import json
import os
import random
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from lookalike.catalog import Catalog, NewImage
from lookalike.types import Condition
from tests.support.catalog_process import other_process
from tests.support.catalogs import BACKENDS, HASH, VECTOR, digest, entry, hash_row

WRITERS = 4
SECONDS = 2.0

# Changes the same few hundred keys as its rivals, in every way there is, and says what it did.
WRITER = textwrap.dedent(
    """
    import json, random, sys, time
    from lookalike.catalog import Catalog
    from lookalike.errors import NotFound
    from lookalike.types import Condition
    from tests.support.catalogs import VECTOR, digest, entry, vector_row

    url, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    dice = random.Random(seed)
    seqs, ids, counts = [], [], {}
    with Catalog.open(url) as catalog:
        tenant = catalog.tenants.find("default")
        print("ready", flush=True)
        sys.stdin.readline()
        end = time.monotonic() + seconds
        step = 0
        while time.monotonic() < end:
            step += 1
            keys = [f"k{dice.randrange(300)}" for _ in range(dice.randrange(1, 30))]
            what = dice.choice(["put", "put", "put", "copy", "delete", "where", "attributes", "later", "touch"])
            counts[what] = counts.get(what, 0) + 1
            if what == "put":
                new = [entry(tenant, key, (seed, step, key), attributes={"w": seed}) for key in keys]
                done = catalog.images.put(new)
                seqs += [put.sequence for put in done]
                ids += [put.id for put in done if put.created]
            elif what == "copy":
                known = catalog.images.existing_images(tenant, [keys[0]])
                if known:
                    source = known[keys[0]]
                    twin = entry(tenant, f"copy{dice.randrange(50)}", sha256=source.sha256, copy_of=source.id)
                    (done,) = catalog.images.put([twin])
                    seqs.append(done.sequence)
                    ids += [done.id] if done.created else []
            elif what == "delete":
                seqs += [gone.sequence for gone in catalog.images.delete(tenant, keys)]
            elif what == "where":
                some = Condition("n", "eq", dice.randrange(20))
                seqs += [gone.sequence for gone in catalog.images.delete_by_filter(tenant, [some])]
            elif what == "attributes":
                try:
                    seqs.append(catalog.images.set_attributes(tenant, keys[0], {"n": dice.randrange(20)}, merge=True))
                except NotFound:
                    pass
            elif what == "later":
                known = catalog.images.existing_images(tenant, keys)
                some = [one for one in known.values()]
                catalog.features.put(VECTOR, [one.id for one in some], [one.sha256 for one in some],
                                     [vector_row(one.sha256) for one in some])
            else:
                from lookalike.catalog import FileLocation
                known = catalog.images.existing_images(tenant, keys).values()
                catalog.images.update_file_locations([FileLocation(one.id, "/moved", step) for one in known])
    print(json.dumps({"seqs": seqs, "ids": ids, "counts": counts}), flush=True)
    """
)


def follow(catalog: Catalog, rows: dict[int, bytes], since: int, limit: int) -> int:
    """Apply what is new, as an index does."""
    changes = catalog.changes.since(HASH, since, limit)
    assert changes.sequence >= since
    for id_ in changes.deletes.tolist():
        rows.pop(id_, None)
    upserts = changes.upserts
    rows.update((id_, row.tobytes()) for id_, row in zip(upserts.ids.tolist(), upserts.features, strict=True))
    return changes.sequence


def mirror(catalog: Catalog, tenant: int, keys: dict[str, int], since: int, limit: int) -> int:
    """Apply what is new in the feed of changes, as a mirror of the gallery does."""
    feed = catalog.changes.feed(tenant, since, limit)
    numbers = [change.sequence for change in feed.changes]
    assert numbers == sorted(set(numbers))
    assert all(since < number <= feed.sequence for number in numbers)
    for change in feed.changes:
        if change.record is None:
            keys.pop(change.key, None)
        else:
            keys[change.key] = change.sequence
    return feed.sequence


@pytest.mark.parametrize("backend", BACKENDS)
def test_writers_of_every_kind_and_a_follower(backend: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with BACKENDS[backend]() as url, Catalog.open(url, create=True) as catalog, ExitStack() as stack:
        tenant = catalog.tenants.get_or_create("default")
        catalog.images.put([entry(tenant, "first")])
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WRITER, url, str(seed), str(SECONDS)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            )
            for seed in range(WRITERS)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        rows: dict[int, bytes] = {}
        keys: dict[str, int] = {}
        since, mirrored, began = 0, 0, time.monotonic()
        dice = random.Random(1)
        while any(writer.poll() is None for writer in writers):
            since = follow(catalog, rows, since, dice.choice([1, 7, 1000]))
            mirrored = mirror(catalog, tenant, keys, mirrored, dice.choice([1, 7, 1000]))
            assert time.monotonic() - began < SECONDS + 60, "the writers are stuck"
        while since < catalog.changes.last_sequence():
            since = follow(catalog, rows, since, 1000)
        while mirrored < catalog.changes.last_sequence():
            mirrored = mirror(catalog, tenant, keys, mirrored, 1000)
        said = [json.loads(writer.stdout.readline()) for writer in writers if writer.stdout]
        seconds = time.monotonic() - began
        assert [writer.returncode for writer in writers] == [0] * WRITERS
        check_outcome(catalog, tenant, rows, said)
        there = {record.key: record.sequence for record in catalog.images.list_page(tenant, limit=10_000)}
        assert keys == there, "the mirror differs from the catalog"
    counts = {what: sum(one["counts"].get(what, 0) for one in said) for what in said[0]["counts"]}
    print(f"{backend}: {sum(len(one['seqs']) for one in said)} changes in {seconds:.1f} s by {WRITERS}: {counts}")


def check_outcome(catalog: Catalog, tenant: int, rows: dict[int, bytes], said: list[dict[str, list[int]]]) -> None:
    """What the follower has is what is there, and no number was given twice."""
    seqs = [seq for one in said for seq in one["seqs"]]
    ids = [id_ for one in said for id_ in one["ids"]]
    assert len(seqs) == len(set(seqs)), "a sequence number was given twice"
    assert len(ids) == len(set(ids)), "an id was given twice"
    there = {record.id: record for record in catalog.images.list_page(tenant, limit=10_000)}
    stored = catalog.features.get(HASH, there)
    features = {id_: row.tobytes() for id_, row in zip(stored.ids.tolist(), stored.features, strict=True)}
    assert rows == features, "the follower differs from the catalog"
    bare = there.keys() - rows.keys()  # copies whose source had changed when they were put in
    assert bare == {record.id for record in catalog.features.missing(HASH)}
    assert all(there[id_].key.startswith("copy") for id_ in bare)
    assert len({record.key for record in there.values()}) == len(there)
    by_bytes: dict[bytes, set[bytes]] = {}
    for id_, row in rows.items():
        by_bytes.setdefault(there[id_].sha256, set()).add(row)
    assert all(len(one) == 1 for one in by_bytes.values()), "an image has the features of other bytes"
    for n in range(20):
        assert set(catalog.images.ids_matching(tenant, [Condition("n", "eq", n)])) <= there.keys()
    catalog.check()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tenant_and_a_spec_are_made_once_by_two_processes(backend: str) -> None:
    with BACKENDS[backend]() as url, other_process() as other, Catalog.open(url, create=True) as catalog:
        other.open(url)
        assert other.tenants.get_or_create("a") == catalog.tenants.get_or_create("a")
        catalog.images.put([entry(1, "x", features={HASH: hash_row(1)})])
        other.images.put([entry(1, "y", features={HASH: hash_row(2), VECTOR: None})])
        assert catalog.features.specs() == other.features.specs() == [HASH, VECTOR]
        assert catalog.gallery_id() == other.gallery_id()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_catalog_is_made_once_by_several_at_a_time(backend: str) -> None:
    make = (
        "import sys; from lookalike.catalog import Catalog; print(Catalog.open(sys.argv[1], create=True).gallery_id())"
    )
    with BACKENDS[backend]() as url:
        running = [
            subprocess.Popen([sys.executable, "-c", make, url], stdout=subprocess.PIPE, text=True) for _ in range(3)
        ]
        names = {process.communicate(timeout=60)[0].strip() for process in running}
        assert len(names) == 1
        assert len(names.pop()) == 12


@pytest.mark.parametrize("backend", ["postgresql", "partitioned"])
def test_large_batches_of_several_processes(backend: str) -> None:
    """Batches of new images by two writers at a time; the time is printed, for a quiet machine to judge."""
    rng = np.random.default_rng(5)
    with BACKENDS[backend]() as url, Catalog.open(url, create=True) as catalog, other_process() as other:
        tenant = catalog.tenants.get_or_create("default")
        other.open(url)
        batches = [[many(tenant, f"{who}{n}-", 1000, rng) for n in range(3)] for who in ("a", "b")]
        began = time.monotonic()
        for mine, theirs in zip(*batches, strict=True):
            other._pipe.send(("images.put", (theirs,), {}))
            catalog.images.put(mine)
            answer, error = other._pipe.recv()
            assert error is None
            assert len(answer) == 1000
        seconds = time.monotonic() - began
        assert catalog.images.count() == catalog.changes.last_sequence() == 6000
        catalog.check()
    print(f"{backend}: 6000 images with features of 8 + 128 bytes in {seconds:.2f} s by two")


def many(tenant: int, prefix: str, number: int, rng: np.random.Generator) -> list[NewImage]:
    rows = rng.standard_normal((number, VECTOR.width), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [
        entry(
            tenant,
            f"{prefix}{n}",
            sha256=digest((prefix, n)),
            features={HASH: hash_row((prefix, n)), VECTOR: row},
        )
        for n, row in enumerate(rows)
    ]
