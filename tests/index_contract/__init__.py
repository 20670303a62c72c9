"""The contract of every index, as test classes that a test module inherits.

    from tests.index_contract import IndexContract, IndexFactory

    class TestMyIndex(IndexContract):
        spec = FeatureSpec("vector", "cosine", 32, "v1")
        exact = True                           # False: results must reach the share `recall` of the true neighbours

        @pytest.fixture
        def make_index(self) -> IndexFactory:
            return MyIndex                     # make_index(spec, folder) reopens what was flushed to the folder

An index on a server derives its name from the folder, and sets `snapshots = False`. `IndexContract` is made of

- `WriteTests`: upserts, deletions, attributes, and random sequences of operations;
- `QueryTests`: tenants, filters, limits, ties, invalid input, and readers beside a writer;
- `RecallTests`: recall among many near neighbours, at any size: `LOOKALIKE_CONTRACT_ROWS=200000 pytest ...`;
- `PersistenceTests`: reopening, crashes without a flush, features of another encoder, damaged files.

A class may inherit only some of them, if an index is tested in several configurations. `ReferenceIndex` (a dict and a
brute force, sharing no code with any index) and `random_features` serve further tests of an index.
docs/recipes.md says how an index is added.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("reference", "base", "writes", "queries", "recall", "persistence"))
)

from tests.index_contract.base import IndexFactory  # noqa: E402 - assertions are rewritten only after the line above
from tests.index_contract.persistence import PersistenceTests  # noqa: E402
from tests.index_contract.queries import QueryTests  # noqa: E402
from tests.index_contract.recall import RecallTests  # noqa: E402
from tests.index_contract.reference import (  # noqa: E402
    ReferenceIndex,
    id_filter,
    random_features,
    reference_distances,
)
from tests.index_contract.writes import WriteTests  # noqa: E402

__all__ = [
    "IndexContract",
    "IndexFactory",
    "PersistenceTests",
    "QueryTests",
    "RecallTests",
    "ReferenceIndex",
    "WriteTests",
    "id_filter",
    "random_features",
    "reference_distances",
]


class IndexContract(WriteTests, QueryTests, RecallTests, PersistenceTests):
    """The whole contract: inherit it, set `spec` and `exact`, and provide the fixture `make_index`."""
