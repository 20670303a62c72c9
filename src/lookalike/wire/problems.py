"""The object of an error (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lookalike.wire.objects import WireObject, doc, document


@dataclass(frozen=True, slots=True)
class Problem(WireObject):
    """An error (RFC 9457)."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "allow", "json_schema_extra": document}
    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "type": "urn:lookalike:error:image-rejected",
        "title": "Invalid image",
        "status": 422,
        "detail": "Not an image: unknown file signature. Supported formats: JPEG, PNG, ...",
        "reason": "not_an_image",
        "instance": "5f0c3d5e6b0e4e6f9a7f6f1f0c9f7a51",
    }

    type: str = field(metadata=doc("`urn:lookalike:error:` and the kind of error in kebab case."))
    title: str = field(metadata=doc("The kind of error in a few words."))
    status: int = field(metadata=doc("The HTTP status."))
    detail: str = field(metadata=doc("What is wrong with this very request, and what to do."))
    instance: str | None = field(
        default=None, metadata=doc("The request's id, as in `X-Request-Id` and the server's log.")
    )
    reason: str | None = field(default=None, metadata=doc("Why an image was rejected, in one word."))
    sequence: int | None = field(
        default=None, metadata=doc("The sequence number of an image that does not match the precondition.")
    )
