"""Fixtures of the catalog's suites: a new catalog in every database, and a tenant."""

from collections.abc import Iterator

import pytest

from lookalike.catalog import Catalog
from tests.support.catalogs import BACKENDS, fresh


@pytest.fixture(params=BACKENDS)
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    with fresh(request.param) as made:
        yield made


@pytest.fixture
def tenant(catalog: Catalog) -> int:
    return catalog.tenants.get_or_create("default")
