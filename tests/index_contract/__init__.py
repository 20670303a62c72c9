"""What every index must do, as tests that any index can inherit. Needs pytest; nothing else imports this package.

    from tests.index_contract import IndexContract

    class TestMyIndex(IndexContract):
        spec = FeatureSpec("vector", "cosine", 32, "v1")
        exact = True

        @pytest.fixture
        def make_index(self):
            return MyIndex                     # make_index(spec, folder) opens what was flushed to the folder

`Finding` alone asks for the recall among many near neighbours, at any size: LOOKALIKE_CONTRACT_ROWS=200000.
An index that keeps its data elsewhere takes the folder as the name of a gallery.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("truth", "base", "writing", "searching", "finding", "keeping"))
)

from tests.index_contract.base import MakeIndex  # noqa: E402 - after the line above, or asserts say nothing
from tests.index_contract.finding import Finding  # noqa: E402
from tests.index_contract.keeping import Keeping  # noqa: E402
from tests.index_contract.searching import Searching  # noqa: E402
from tests.index_contract.truth import Model, chosen, draw, measure  # noqa: E402
from tests.index_contract.writing import Writing  # noqa: E402

__all__ = ["Finding", "IndexContract", "MakeIndex", "Model", "chosen", "draw", "measure"]


class IndexContract(Writing, Searching, Finding, Keeping):
    """Inherit, set `spec` and `exact`, and give the fixture `make_index`."""
