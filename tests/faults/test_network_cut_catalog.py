"""A catalog on a PostgreSQL beyond a network that is cut and mended, in the middle of writes."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import make_url

from lookalike.catalog import Catalog
from lookalike.catalog import postgresql as postgresql_dialect
from lookalike.errors import Unavailable
from tests.faults.test_catalog_kill import Witness, contents
from tests.faults.test_postgresql import after_batches, write_until_it_fails
from tests.support.catalogs import HASH, entry
from tests.support.engines import postgresql
from tests.support.faults.networked_engines import Database, postgresql_beyond
from tests.support.faults.timed_calls import Watch, insist
from tests.support.waiting import HANG_SECONDS

CUTS = 2
CATALOG_OPTIONS = {"statement_seconds": "2", "connect_timeout": "2"}
BACK_SECONDS = HANG_SECONDS
"""Within these, everything works again after the mending."""


@contextmanager
def impatient(beyond: Database) -> Iterator[str]:
    """The URL of a fresh database beyond the network, with short limits; the network is whole in the end."""
    with postgresql.database(beyond.url) as url:
        try:
            yield make_url(url).update_query_dict(CATALOG_OPTIONS).render_as_string(hide_password=False)
        finally:
            beyond.network.mend()


@pytest.fixture(scope="module")
def beyond_postgresql() -> Iterator[Database]:
    with postgresql_beyond() as database:
        yield database


@pytest.fixture
def database(beyond_postgresql: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(postgresql_dialect, "GRACE_SECONDS", 1.0)
    with impatient(beyond_postgresql) as url:
        yield url


def test_a_catalog_cut_off_in_the_middle_of_writes(beyond_postgresql: Database, database: str) -> None:
    """What was acknowledged is there after the mending, no batch by halves; the claim is free again."""
    dice, witness, watch, back = random.Random(5), Witness(), Watch(), 0.0
    net = beyond_postgresql.network
    with Catalog.open(database, create=True) as catalog:
        tenant = catalog.tenants.get_or_create("default")
        for turn in range(CUTS):
            with catalog.leases.try_acquire("phash") as claim:
                assert claim is not None
                began = time.monotonic()
                with after_batches(witness, 2, dice.uniform(0.0, 0.5), net.cut):
                    why = write_until_it_fails(catalog, tenant, str(turn), dice, witness)
                assert time.monotonic() - began < HANG_SECONDS
                assert "nothing was changed" in why or "may or may not" in why
                for act in (
                    catalog.images.count,
                    partial(catalog.images.put, [entry(tenant, "lost")]),
                    partial(claim.record, 1),
                ):
                    with pytest.raises(Unavailable):
                        watch.run(act)
            net.mend()
            mended = time.monotonic()
            witness.settle(insist(partial(contents, catalog, witness), BACK_SECONDS))
            insist(partial(catalog.images.put, [entry(tenant, "k0", f"back {turn}")]), BACK_SECONDS)
            witness.sure["k0"] = f"back {turn}"
            insist(partial(claimed, catalog), BACK_SECONDS)
            back = max(back, time.monotonic() - mended)
            there = contents(catalog, witness)
            catalog.check()
            assert len(catalog.changes.since(HASH, 0, 1_000_000).upserts.ids) == len(there)
    print(
        f"catalog: {CUTS} cuts, {witness.batches} batches, {len(witness.seqs)} changes acknowledged: none lost, none "
        f"by halves; calls failed after {max(watch.failed):.1f} s at most; back {back:.1f} s after the mending"
    )
    assert witness.seqs == sorted(set(witness.seqs))
    assert witness.batches > 0
    assert max(watch.failed) < HANG_SECONDS


def claimed(catalog: Catalog) -> None:
    """Take the claim for a moment; raises Unavailable while the server still holds it for a connection that is gone."""
    with catalog.leases.try_acquire("phash") as claim:
        if claim is None:
            raise Unavailable("the claim is held")
        claim.record(1)
