"""Fixtures of the web suites."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.catalog import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "catalog.sqlite", create=True) as made:
        yield made
