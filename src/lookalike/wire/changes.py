"""The objects of the change feed."""

from dataclasses import dataclass, field

from lookalike import results
from lookalike.results import ChangeKind
from lookalike.wire.images import Image
from lookalike.wire.objects import WireObject, convert, doc


@dataclass(frozen=True, slots=True)
class Change(WireObject):
    """A change of the gallery. An image is reported once, with its last change: treat added and updated alike."""

    sequence: int
    kind: ChangeKind
    key: str
    image: Image | None = field(metadata=doc("The image as it is now; null where it was deleted."))
    tenant: str | None = field(default=None, metadata=doc("Only where the changes of all tenants were requested."))

    @classmethod
    def of(cls, change: results.Change, *, tenant: bool = False) -> "Change":
        """The object of a change, with its tenant or without."""
        return convert(cls, change, tenant=change.tenant if tenant else None)


@dataclass(frozen=True, slots=True)
class ChangeList(WireObject):
    """Changes in the order of their sequence numbers."""

    changes: list[Change]
    next: str = field(metadata=doc("Continue from here: `after` of the next request."))
    sequence: int = field(metadata=doc("All changes up to this one are covered."))
    more: bool = field(metadata=doc("Whether further changes are there already."))
