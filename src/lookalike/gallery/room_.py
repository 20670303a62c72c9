"""What the rooms of the service stand on: one gallery's catalog, pipelines, limits and right to write."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from lookalike.catalog import Catalog
from lookalike.errors import NotFound
from lookalike.gallery.decoder import INLINE_LIMIT
from lookalike.gallery.pipeline_pool import PipelinePool
from lookalike.gallery.thumbnails import Thumbnails
from lookalike.gallery.writer_lock import WriterLock
from lookalike.imaging import Limits
from lookalike.pipeline import Pipeline


class Room:
    """One gallery. The rooms of `Gallery` are subclasses that add methods by subject.

    `names` are the gallery's pipelines in order of precedence; `build` opens one by name when it is first needed. Rows
    of more than `few` images are decoded in processes of their own.
    """

    def __init__(
        self,
        catalog: Catalog,
        names: Sequence[str],
        build: Callable[[str], Pipeline],
        lock: WriterLock,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        few: int = INLINE_LIMIT,
    ) -> None:
        self._catalog = catalog
        self._lock = lock
        self._limits = limits or Limits()
        self._pipelines = PipelinePool(names, build, catalog, lock, self._limits, workers, few)
        self._thumbnails = Thumbnails(catalog, self._limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The names of the gallery's pipelines, in order of precedence."""
        return self._pipelines.names

    @property
    def catalog(self) -> Catalog:
        """The truth beneath; for jobs and access keys, which are no business of searches."""
        return self._catalog

    @property
    def limits(self) -> Limits:
        """What an image may take."""
        return self._limits

    def close(self) -> None:
        """Save what is worth saving, and release files and the right to write."""
        self._pipelines.close()
        self._catalog.close()
        self._lock.close()

    def _tenant(self, tenant: str, key: str) -> int:
        tenant_id = self._catalog.tenants.find(tenant)
        if tenant_id is None:
            raise NotFound(f"there is no image {key!r}")
        return tenant_id
