"""The room of the service where images are added, changed and removed."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from lookalike.catalog import Deleted
from lookalike.gallery.filters import Filter, conditions_of
from lookalike.gallery.ingest import Ingest
from lookalike.gallery.pipeline_pool import catch_up
from lookalike.gallery.queries import DEFAULT_TENANT
from lookalike.gallery.room_ import Room
from lookalike.image_files import items_of
from lookalike.types import Attributes, Item, Outcome, Record

SYNC_EVERY = 4096
"""Added images after which the indexes catch up, so that the end of a long run is not one long wait."""

Precondition = int | Literal["absent"] | None
"""Where an image must stand for a change to be made: at this sequence number, nowhere, or wherever it does (None)."""


class DeleteResult(NamedTuple):
    """The keys that are gone, the last change that this made (0 where there was nothing to remove), and how many."""

    keys: list[str]
    sequence: int
    total: int


class Changing(Room):
    """Every method returns when its change is durable.

    A change on condition is made in one step with the look at the condition, and raises Conflict where that does not
    hold: of several who saw the same image, one succeeds.
    """

    def add(
        self,
        what: str | Path | Iterable[str | Path | Item],
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> list[Outcome]:
        """Add files, folders or items, and give each one's outcome, in a list; see `add_iter` for large folders."""
        return list(self.add_iter(what, key=key, attributes=attributes, tenant=tenant))

    def add_iter(
        self,
        what: str | Path | Iterable[str | Path | Item | Outcome],
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> Iterator[Outcome]:
        """Add files, folders or items, and give each one's outcome as soon as it is durable.

        Adding the same again changes nothing: an image is known by tenant and key, an unchanged one is recognised
        by its file's size and time or its digest, without decoding. An image that cannot be read is rejected with
        the reason and stops nothing. Raises GalleryBusy while another process writes.
        """
        items = items_of(what, key, attributes)
        with self._lock:
            tenant_id = self._catalog.tenants.get_or_create(tenant)
            opened = self._pipelines.open()
            run = Ingest(self._catalog, [o.pipeline for o in opened], self._pipelines.decoder(opened), tenant_id)
            for count, outcome in enumerate(run.run(items), 1):
                if count % SYNC_EVERY == 0:
                    catch_up(opened)
                yield outcome
            catch_up(opened, save=True)

    def put(
        self,
        key: str,
        data: bytes | Path,
        *,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
        expected: Precondition = None,
    ) -> Outcome:
        """Add one image, or put it in the place of the one with its key, on condition; the indexes follow later.

        The outcome's `sequence` says where the image stands now. The same bytes and attributes again change nothing.
        Raises ImageRejected for what is no image, Conflict where the image is not where it is `expected`.
        """
        with self._lock:
            opened = self._pipelines.open()
            tenant_id = self._catalog.tenants.get_or_create(tenant)
            run = Ingest(self._catalog, [o.pipeline for o in opened], self._pipelines.decoder(opened), tenant_id)
            return run.put(Item(key, data, attributes), 0 if expected == "absent" else expected)

    def remove(
        self, keys: str | Iterable[str], *, tenant: str = DEFAULT_TENANT, expected: int | None = None
    ) -> list[str]:
        """Forget images; gives the keys that were there. Durable when it returns; files are never touched.

        Raises Conflict, and removes none, where one of them has another sequence number than the one `expected`.
        """
        wanted = [keys] if isinstance(keys, str) else list(keys)
        with self._lock:
            tenant_id = self._catalog.tenants.find(tenant)
            if tenant_id is None:
                return []
            return [gone.key for gone in self._catalog.images.delete(tenant_id, wanted, expected=expected)]

    def remove_by_filter(self, filter: Filter, *, tenant: str = DEFAULT_TENANT) -> DeleteResult:
        """Forget the images whose attributes fit a filter, all in one step; raises BadInput for an empty filter."""
        conditions = conditions_of(filter)
        with self._lock:
            tenant_id = self._catalog.tenants.find(tenant)
            gone: Sequence[Deleted] = (
                [] if tenant_id is None else self._catalog.images.delete_by_filter(tenant_id, conditions)
            )
        return DeleteResult([one.key for one in gone], max((one.sequence for one in gone), default=0), len(gone))

    def set_attributes(
        self,
        key: str,
        attributes: Attributes,
        *,
        merge: bool = True,
        tenant: str = DEFAULT_TENANT,
        expected: int | None = None,
    ) -> Record:
        """Change what is kept with an image: merged into the old attributes, or instead of them."""
        with self._lock:
            tenant_id = self._tenant(tenant, key)
            self._catalog.images.set_attributes(tenant_id, key, attributes, merge=merge, expected=expected)
        return self._catalog.images.get(tenant_id, key)

    def not_a_match(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Remember that no two of these images are copies of each other: `duplicates` links them no more.

        It is their bytes that are judged. Raises NotFound for an unknown key, BadInput for less than two.
        """
        with self._lock:
            self._catalog.duplicate_feedback.mark(self._tenant(tenant, keys[0] if keys else ""), keys)

    def not_a_match_undo(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Take that back for every pair of these images."""
        with self._lock:
            self._catalog.duplicate_feedback.unmark(self._tenant(tenant, keys[0] if keys else ""), keys)
