"""The API against its own description: no input brings a server error, and every answer is as described."""

import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import live
from tests.support.waiting import HANG_SECONDS

if TYPE_CHECKING:
    import schemathesis

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
    import schemathesis  # noqa: PLC0415 - takes seconds, and every process of the run imports this module

    with live(tmp_path_factory.mktemp("gallery") / "g") as (url, gallery):
        for n in range(5):
            name = quote(f"alps/IMG_{n}.jpg", safe="")
            httpx.put(
                f"{url}/v1/images/{name}",
                content=encoded(drawn(n)),
                params={"attributes": '{"album": "Alps"}'},
                timeout=HANG_SECONDS,
            )
        schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
        schema.gallery = gallery
        yield schema


OPERATIONS = (
    "putImages nameFolder listImages deleteImages putImage getImage patchImage deleteImage getThumbnail getOriginal "
    "search searchBatch listKeys createKey rotateKey revokeKey "
    "compare explain whyNot headImage headThumbnail headHealth headReady "
    "planCleanup applyCleanup undoCleanup listChanges "
    "listPipelines addPipeline promotePipeline dropPipeline dropIndex "
    "listDuplicates markNotAMatch unmarkNotAMatch createJob listJobs getJob getJobReport cancelJob "
    " health ready getStatus metrics"
).split()


def test_every_operation_is_tried(api: Any) -> None:
    described = {operation["operationId"] for path in api.raw_schema["paths"].values() for operation in path.values()}
    assert described == set(OPERATIONS)


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_as_described(api: Any, name: str, mode: str) -> None:
    """Requests as described, and ones that break the description in some place.

    Python 3.11 counts the depth of a syntax tree per interpreter: where a collection lets the server's thread run while
    Hypothesis, which reads source code, builds a tree, and that thread builds one too, either gets a SystemError.
    """
    from schemathesis import GenerationMode  # noqa: PLC0415
    from schemathesis.checks import CHECKS  # noqa: PLC0415

    operation = api.find_operation_by_id(name)
    unfit = (*UNFIT, "negative_data_rejection") if name in STREAMED else UNFIT
    checks = [CHECKS.get_one(check) for check in unfit]

    @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def ask(case: "schemathesis.Case") -> None:
        if name == "listChanges" and isinstance(case.query.get("wait"), int | float) and 0 < case.query["wait"] <= 30:
            case.query["wait"] = 0.01  # nothing changes
        try:
            case.call_and_validate(excluded_checks=checks, timeout=30)
        finally:
            for key in api.gallery.catalog.api_keys.list_all():  # the first one makes keys mandatory
                api.gallery.catalog.api_keys.delete(key.id)

    gc.disable()  # see above
    try:
        ask()
    except Unsatisfiable:
        pytest.skip("nothing of this operation can be broken")
    finally:
        gc.enable()
