"""What a test needs of the machine: skipped where it is missing, unless everything is required."""

import os

import pytest

REQUIRED = os.environ.get("REQUIRE_ENGINES") == "1"


def skip_or_fail(reason: str) -> None:
    """Skip the test for this reason; with REQUIRE_ENGINES=1 (continuous integration), fail it instead."""
    if REQUIRED:
        pytest.fail(f"{reason}, and REQUIRE_ENGINES=1 forbids skipping")
    pytest.skip(reason)
