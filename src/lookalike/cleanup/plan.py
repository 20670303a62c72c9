"""Plans: a mark for each image of each cluster, with its reason. Making one changes nothing."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lookalike.cleanup.actions import Action, parse_action
from lookalike.cleanup.files import FileStatus, Folders, file_status
from lookalike.cleanup.rules import Candidate, CleanupOptions, choose, parse_rules
from lookalike.errors import BadInput
from lookalike.gallery import Gallery, conditions_of
from lookalike.imaging.raw_preview import FORMAT as RAW
from lookalike.results import CleanupGroup, CleanupImage, Cluster, StoredImage, exact_parts
from lookalike.sources.urls import is_url
from lookalike.types import Record

NO_FILE = "added as bytes: there is no file"
MISSING = "the file is missing"
NOT_LOCAL = "it is in an object store or an archive; only files of this machine are cleaned up"
CHANGED = "the file has changed since it was added; add it again"
IN_REFERENCE = "in a reference folder"
SAME_FILE = "another name of the file that is kept: nothing to free"
IS_LINK = "a symbolic link: nothing to free"
LINKED = "another path of the gallery leads to the same file"
HARD_LINKED = "has a further hard link: removing it frees nothing"
READ_ONLY = "read-only: make it writable to have it removed"
NOT_A_MATCH = "marked as no duplicate of the kept one"
TOO_SMALL = "smaller than the minimum size"
SAME_FOLDER = "in the same folder as the kept one"
TOO_FAR = "farther from the kept one than the maximum distance"
IS_RAW = "camera raw: the kept one has none of its raw data"
OTHER_FRAMES = "has further frames or pages, which were not compared"
LARGER = "truncated, but with more pixels than the kept one: look at both"
KEPT_ELSEWHERE = "kept in another group"
REMOVED_ELSEWHERE = "removed with another group"
NOTHING_KEPT = "the file of the image to keep is missing, or it has none"
CHOSEN = "chosen"
NOT_CHOSEN = "not chosen"

Name = tuple[Record, FileStatus]
Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """A plan: the groups with their marks, and how many images of clusters were out of the scope of the options."""

    options: CleanupOptions
    groups: tuple[CleanupGroup, ...]
    out_of_scope: int = 0

    @property
    def removed(self) -> int:
        """Number of images to remove."""
        return sum(len(group.removed) for group in self.groups)

    @property
    def frees(self) -> int:
        """Bytes that are freed."""
        return sum(group.frees for group in self.groups)

    @property
    def skipped(self) -> Mapping[str, int]:
        """Number of images left alone although they are not the ones kept, by reason."""
        return Counter(i.reason for group in self.groups for i in group.images if i.mark == "skip")


def plan_cleanup(gallery: Gallery, options: CleanupOptions | None = None) -> CleanupPlan:
    """Plan which images of the gallery's clusters to keep; nothing is changed.

    Args:
        gallery: An open gallery.
        options: Rules, scope and action; the defaults by default.

    Returns:
        The groups, in the order of `Gallery.duplicates`.

    Raises:
        BadInput: An option is invalid.
        NotFound: A folder that the options name does not exist.
        UnsupportedQuery: The features are stored by an engine only.
    """
    options = options or CleanupOptions()
    planner = Planner(gallery, options)
    groups = tuple(planner.plan(gallery.duplicates(tenant=options.tenant, pipelines=options.pipelines)))
    return CleanupPlan(options, groups, planner.out_of_scope)


def plan_chosen(
    gallery: Gallery, options: CleanupOptions, chosen: Iterable[tuple[Cluster, Collection[str] | None]]
) -> CleanupPlan:
    """Plan some clusters alone; nothing is changed.

    Args:
        gallery: An open gallery.
        options: Rules and action; the scope is what is chosen.
        chosen: Clusters, each with the keys of the images to keep, or None for those that the rules choose.

    Returns:
        The groups, in the order given. A group of which no image to keep has a file is left alone.

    Raises:
        BadInput: An option is invalid, a key is not in its cluster, or there is no key to keep.
        NotFound: A folder that the options name does not exist.
    """
    planner = Planner(gallery, options)
    groups = [planner.plan_cluster(cluster, None if keep is None else frozenset(keep)) for cluster, keep in chosen]
    return CleanupPlan(options, tuple(groups))


def revise_plan(gallery: Gallery, plan: CleanupPlan, choices: Mapping[str, Collection[str] | None]) -> CleanupPlan:
    """Return the plan for the chosen groups alone, each file looked at again.

    Args:
        gallery: The gallery of the plan.
        plan: The plan to revise.
        choices: By the id of a group: the keys of the images to keep, or None for those of the plan.

    Raises:
        BadInput: A group or a key that is not in the plan, or no key to keep.
    """
    known = {group.id: group for group in plan.groups}
    if unknown := [id_ for id_ in choices if id_ not in known]:
        raise BadInput(f"there is no group {unknown[0]!r} in this plan")
    planner = Planner(gallery, replace(plan.options, exact_only=False, filter=None))  # the groups are in scope
    groups = []
    for id_, keys in choices.items():
        group = known[id_]
        cluster = Cluster(tuple(image.image for image in group.images), group.evidence, group.distance)
        groups.append(planner.plan_cluster(cluster, None if keys is None else frozenset(keys)))
    return CleanupPlan(plan.options, tuple(groups))


class Planner:
    """Plans clusters one by one, so that groups can be shown as they are found.

    A file that one group keeps is removed by none, and the other way round. `out_of_scope` counts images of clusters
    that the options exclude.
    """

    def __init__(self, gallery: Gallery, options: CleanupOptions) -> None:
        self._gallery = gallery
        self._options = options
        self._rules = parse_rules(options.keep)
        self._action: Action = parse_action(options.to)
        self._references = Folders(options.references)
        self._conditions = conditions_of(options.filter or {})
        self._ids: frozenset[int] | None = None
        self._kept: set[Identity] = set()
        self._removed: set[Identity] = set()
        self.out_of_scope = 0

    def plan(self, clusters: Iterable[Cluster]) -> Iterator[CleanupGroup]:
        """Yield the groups of the clusters that are in scope."""
        for cluster in clusters:
            for part in self._in_scope(cluster):
                yield self.plan_cluster(part)

    def plan_cluster(self, cluster: Cluster, keep: Collection[str] | None = None) -> CleanupGroup:
        """Return the group of one cluster; `keep` are keys to keep, in place of what the rules choose."""
        marks: dict[int, CleanupImage] = {}
        names: dict[Identity, list[Name]] = {}
        for record in cluster.images:
            status = None if record.path is None else file_status(record.path)
            reason = self._absence(record, status)
            if reason is None and status is not None:
                names.setdefault(status.identity, []).append((record, status))
            else:
                marks[record.id] = CleanupImage(record, "skip", reason or MISSING)
        candidates = [self._candidate(same) for same in names.values()]
        if not candidates:
            return _group(cluster, [marks[record.id] for record in cluster.images])
        eligible = self._eligible(candidates, cluster, keep)
        if not eligible:
            skipped = [image for candidate in candidates for image in _skip(candidate, NOTHING_KEPT)]
            marks.update({image.image.id: image for image in skipped})
            return _group(cluster, [marks[record.id] for record in cluster.images])
        kept, reasons = choose(eligible, self._rules)
        not_matches = self._not_matches(kept.record, cluster)
        for candidate in candidates:
            chosen = keep is not None and candidate in reasons and _is_named(candidate, keep)
            reason = CHOSEN if chosen else reasons.get(candidate, NOT_CHOSEN)
            if candidate is kept or chosen or candidate.reference is not None or candidate.identity in self._kept:
                made = self._keep(candidate, reason if candidate is kept or chosen else None)
            elif any(record.id in not_matches for record, _ in candidate.names):
                made = _skip(candidate, NOT_A_MATCH)
            elif (obstacle := self._obstacle(candidate, kept, cluster)) is not None:
                made = _skip(candidate, obstacle)
            else:
                made = self._remove(candidate, reason)
            marks.update({image.image.id: image for image in made})
        others = [marks[record.id] for record in cluster.images if record is not kept.record]
        return _group(cluster, [marks[kept.record.id], *others])

    def _absence(self, record: Record, status: FileStatus | None) -> str | None:
        """Why an image can be neither kept nor removed."""
        if record.path is None:
            return NO_FILE
        if is_url(record.path):
            return NOT_LOCAL
        if status is None:
            return MISSING
        if status.nbytes != record.nbytes:
            return CHANGED
        return REMOVED_ELSEWHERE if status.identity in self._removed else None

    def _candidate(self, names: Sequence[Name]) -> Candidate:
        """A file with its names in the gallery, those that are no symbolic links first."""
        ordered = sorted(names, key=lambda name: name[1].is_link)
        references = (self._references.containing(status.path) for _, status in names)
        return Candidate(ordered, next((reference for reference in references if reference is not None), None))

    def _eligible(
        self, candidates: Sequence[Candidate], cluster: Cluster, keep: Collection[str] | None
    ) -> Sequence[Candidate]:
        """The candidates to choose from: all, or those that `keep` names."""
        if keep is None:
            return candidates
        if unknown := sorted(set(keep) - {record.key for record in cluster.images}):
            raise BadInput(f"the image {unknown[0]!r} is not in the group {cluster.id}")
        if not keep:
            raise BadInput(f"the group {cluster.id} would keep no image; name one to keep")
        return [candidate for candidate in candidates if _is_named(candidate, keep)]

    def _keep(self, candidate: Candidate, reason: str | None) -> list[CleanupImage]:
        """Keep a file, by default because it is protected by a reference folder or another group."""
        self._kept.add(candidate.identity)
        reason = reason or (IN_REFERENCE if candidate.reference is not None else KEPT_ELSEWHERE)
        others = [CleanupImage(record, "skip", SAME_FILE) for record, _ in candidate.names[1:]]
        return [CleanupImage(candidate.record, "keep", reason), *others]

    def _remove(self, candidate: Candidate, reason: str) -> list[CleanupImage]:
        """Remove a file by all of its names; the last one frees its bytes."""
        self._removed.add(candidate.identity)
        images = [CleanupImage(record, "remove", reason) for record, _ in candidate.names]
        return [*images[:-1], replace(images[-1], frees=candidate.status.nbytes)]

    def _not_matches(self, kept: Record, cluster: Cluster) -> frozenset[int]:
        """The images that a person marked as no duplicates of the kept one: another image may link them to it."""
        feedback = self._gallery.catalog.duplicate_feedback
        links = {kept.id: [record.id for record in cluster.images if record.id != kept.id]}
        return frozenset(other for _, other in feedback.marked_links(self._tenant_id, links))

    def _obstacle(self, candidate: Candidate, kept: Candidate, cluster: Cluster) -> str | None:
        """Why a file that is not kept is not removed either."""
        record, status = candidate.record, candidate.status
        if status.is_link:
            return IS_LINK
        if candidate.has_aliases:
            return LINKED
        if status.names > len(candidate.names):
            return HARD_LINKED
        if status.is_read_only:
            return READ_ONLY
        if status.nbytes < self._options.min_bytes:
            return TOO_SMALL
        if self._options.across_folders and any(_same_folder(s.path, kept.status.path) for _, s in candidate.names):
            return SAME_FOLDER
        if self._is_too_far(kept.record, record, cluster):
            return TOO_FAR
        if (loss := _loss(candidate, kept)) is not None:
            return loss
        for name, at in candidate.names:
            reason = self._action.obstacle(at, kept.status, same_bytes=name.sha256 == kept.record.sha256)
            if reason is not None:
                return reason
        return None

    def _is_too_far(self, kept: Record, record: Record, cluster: Cluster) -> bool:
        limit = self._options.max_distance
        if limit is None or cluster.distance <= limit or kept.sha256 == record.sha256:
            return False
        tenant = self._options.tenant
        compared = self._gallery.compare(StoredImage(kept.key), StoredImage(record.key), tenant=tenant)
        used = self._options.pipelines or self._gallery.pipelines
        distances = [p.distance for p in compared.pipelines if p.distance is not None and p.pipeline in used]
        return not compared.same_pixels and min(distances, default=1.0) > limit

    def _in_scope(self, cluster: Cluster) -> Iterator[Cluster]:
        """The parts of a cluster that the options include: two or more images each."""
        images = [image for image in cluster.images if self._matches(image)]
        parts = exact_parts(images) if self._options.exact_only and cluster.evidence != "exact" else [images]
        self.out_of_scope += len(cluster.images)
        for part in parts:
            if len(part) < 2:
                continue
            self.out_of_scope -= len(part)
            if len(part) == len(cluster.images):
                yield cluster
            elif self._options.exact_only:
                yield Cluster(tuple(part), "exact", 0.0)
            else:
                yield replace(cluster, images=tuple(part))

    @cached_property
    def _tenant_id(self) -> int:
        """The id of the tenant, which exists where it has a cluster."""
        tenant_id = self._gallery.catalog.tenants.find(self._options.tenant)
        assert tenant_id is not None
        return tenant_id

    def _matches(self, record: Record) -> bool:
        if not self._conditions:
            return True
        if self._ids is None:
            ids = self._gallery.catalog.images.ids_matching(self._tenant_id, self._conditions)
            self._ids = frozenset(ids.tolist())
        return record.id in self._ids


def _group(cluster: Cluster, images: Sequence[CleanupImage]) -> CleanupGroup:
    return CleanupGroup(cluster.id, cluster.evidence, cluster.distance, tuple(images))


def _skip(candidate: Candidate, reason: str) -> list[CleanupImage]:
    return [CleanupImage(r, "skip", IS_LINK if status.is_link else reason) for r, status in candidate.names]


def _loss(candidate: Candidate, kept: Candidate) -> str | None:
    """What a file has, by its record, that the kept one may not have; None where their bytes or pixels are the same."""
    record, other = candidate.record, kept.record
    if record.sha256 == other.sha256 or (record.pixels is not None and record.pixels == other.pixels):
        return None
    if record.format == RAW and other.format != RAW:
        return IS_RAW
    if record.frames > 1:
        return OTHER_FRAMES
    is_larger = record.width * record.height > other.width * other.height
    return LARGER if record.truncated and is_larger else None


def _is_named(candidate: Candidate, keys: Collection[str]) -> bool:
    return any(record.key in keys for record, _ in candidate.names)


def _same_folder(a: str, b: str) -> bool:
    return os.path.realpath(os.path.dirname(a)) == os.path.realpath(os.path.dirname(b))  # noqa: PTH120
