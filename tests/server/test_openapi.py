"""The API against its own description: no input brings a server error, and every answer is as described."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import live

EXAMPLES = int(os.environ.get("LOOKALIKE_SCHEMA_EXAMPLES", "10"))
"""Generated requests for each operation; more by the environment."""
UNFIT = (
    "positive_data_acceptance",  # random bytes are no image, random text is no key, cursor or filter
    "unsupported_method",  # asked for in test_api_operations
    "ignored_auth",  # without keys there is none to ignore; test_access has them
)
STREAMED = ("putImages",)
"""Their answers begin before the body has come: what is wrong with it is told in the last line."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with live(tmp_path_factory.mktemp("gallery") / "g") as (url, gallery):
        for n in range(5):
            name = quote(f"alps/IMG_{n}.jpg", safe="")
            httpx.put(f"{url}/v1/images/{name}", content=encoded(drawn(n)), params={"attributes": '{"album": "Alps"}'})
        schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
        schema.gallery = gallery
        yield schema


OPERATIONS = (
    "putImages listImages deleteImages putImage getImage patchImage deleteImage getThumbnail getOriginal search "
    "searchBatch listKeys createKey rotateKey revokeKey "
    "compare explain whyNot headImage headThumbnail headHealth headReady "
    "planCleanup applyCleanup undoCleanup listChanges "
    "listPipelines addPipeline promotePipeline dropPipeline "
    "listDuplicates markNotAMatch unmarkNotAMatch createJob listJobs getJob cancelJob health ready getStatus metrics"
).split()


def test_every_operation_is_tried(api: Any) -> None:
    described = {operation["operationId"] for path in api.raw_schema["paths"].values() for operation in path.values()}
    assert described == set(OPERATIONS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_as_described(api: Any, name: str, mode: GenerationMode) -> None:
    """Requests as described, and ones that break the description in some place."""
    operation = api.find_operation_by_id(name)
    unfit = (*UNFIT, "negative_data_rejection") if name in STREAMED else UNFIT
    checks = [CHECKS.get_one(check) for check in unfit]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def ask(case: schemathesis.Case) -> None:
        if name == "listChanges" and isinstance(case.query.get("wait"), int | float) and 0 < case.query["wait"] <= 30:
            case.query["wait"] = 0.01  # nothing changes
        try:
            case.call_and_validate(excluded_checks=checks, timeout=30)
        finally:
            for key in api.gallery.catalog.api_keys.list_all():  # the first one makes keys mandatory
                api.gallery.catalog.api_keys.delete(key.id)

    try:
        ask()
    except Unsatisfiable:
        pytest.skip("nothing of this operation can be broken")
