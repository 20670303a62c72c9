"""The search service: one gallery, its catalog and its pipelines, behind one set of methods."""

from collections.abc import Iterator, Mapping, Sequence

from lookalike.errors import BadInput
from lookalike.gallery.changing_ import Changing
from lookalike.gallery.duplicates import Cluster, ClusterPage, clusters, clusters_page
from lookalike.gallery.filters import Filter, conditions_of
from lookalike.gallery.pipeline_pool import catch_up, ensure_fresh
from lookalike.gallery.queries import DEFAULT_TENANT
from lookalike.gallery.searching_ import Asking
from lookalike.gallery.status import RepairReport, Status, check_engine, rebuild, status_of
from lookalike.imaging.thumbnails import SIDE
from lookalike.types import Record


class Gallery(Changing, Asking):
    """One gallery. Methods are safe to call from several threads; one process writes, any number read.

    With a catalog on a server any number of processes write, and see one another's images.

    `names` are the gallery's pipelines in order of precedence; `build` opens one by name when it is first needed.
    """

    def get(self, key: str, *, tenant: str = DEFAULT_TENANT) -> Record:
        """The record of an image; raises NotFound."""
        return self._catalog.images.get(self._tenant(tenant, key), key)

    def get_thumbnail(self, key: str, *, tenant: str = DEFAULT_TENANT, size: int = SIDE) -> bytes:
        """A small JPEG of an image, upright, its longer side `size` pixels; no larger than the image.

        Raises NotFound for an unknown key, and where the image's file is gone or holds other bytes than those added.
        """
        return self._thumbnails.get(self._tenant(tenant, key), key, size)

    def ls(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        after: str | None = None,
        limit: int = 100,
        filter: Filter | None = None,
        prefix: str = "",
    ) -> list[Record]:
        """Records in the order of their keys, `limit` at a time, those after the key `after`.

        Only those whose keys begin with `prefix`, as it is written: case counts, and no character is a wildcard.
        """
        tenant_id = self._catalog.tenants.find(tenant)
        if tenant_id is None:
            return []
        conditions = conditions_of(filter or {})
        return self._catalog.images.list_page(tenant_id, after=after, limit=limit, conditions=conditions, prefix=prefix)

    def duplicates(self, *, tenant: str = DEFAULT_TENANT, pipelines: Sequence[str] | None = None) -> Iterator[Cluster]:
        """Clusters of images that are copies of one another, as they are found; never all pairs."""
        opened = self._pipelines.open(pipelines)
        tenant_id = self._catalog.tenants.find(tenant)
        if tenant_id is None:
            return iter(())
        ensure_fresh(opened)
        return clusters(self._catalog, [o.pipeline for o in opened], tenant_id)

    def duplicates_page(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        pipelines: Sequence[str] | None = None,
        after: str | None = None,
        limit: int = 20,
        seconds: float = 2.0,
    ) -> ClusterPage:
        """The next clusters beyond `after`, at most `limit` and no more than are found in about so many seconds.

        A page may be empty and yet say `after` which key to go on.
        """
        if limit < 1:
            raise BadInput(f"a limit of {limit} makes no sense; 1 is the least")
        opened = self._pipelines.open(pipelines)
        tenant_id = self._catalog.tenants.find(tenant)
        if tenant_id is None:
            return ClusterPage((), None)
        ensure_fresh(opened)
        known = [o.pipeline for o in opened]
        return clusters_page(self._catalog, known, tenant_id, after=after, limit=limit, seconds=seconds)

    def status(self, *, silent: Mapping[str, str] | None = None) -> Status:
        """How many images there are, and how each pipeline stands to the catalog.

        `silent` are pipelines whose engines are known not to answer, with the reason: they are not asked.
        """
        opened = {name: self._pipelines.try_open(name) for name in self.pipelines}
        return status_of(self._catalog, opened, silent or {})

    def check_engine(self, pipeline: str) -> None:
        """Ask a pipeline's engine, by one cheap search, whether it answers; raises what searches raise.

        What answers in this process, or was not needed yet, is not asked.
        """
        for one in self._pipelines.now_open():
            if one.pipeline.name == pipeline and one.pipeline.index.shared:
                check_engine(one.pipeline, one.follower)

    def repair(self) -> RepairReport:
        """Check the catalog, and build every index anew from it; raises Damaged where the catalog itself is."""
        with self._lock:
            return rebuild(self._catalog, {o.pipeline.name: o.follower for o in self._pipelines.open()})

    def sync_indexes(self) -> int:
        """Bring every index that is open up to the catalog and save what is worth it; gives the change all reached.

        A service calls it every now and then, so that no search has to.
        """
        opened = self._pipelines.now_open()
        catch_up(opened, save=True)
        return min((o.follower.applied for o in opened), default=0)
