"""`add`: put images into the gallery; each is reported once it is durable."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import (
    IMAGES,
    Session,
    app,
    command,
    flag,
    name_of,
    open_gallery_or_client,
    option,
    parse_pairs,
)
from lookalike.cli.output import counted, emit, print_error, print_line, printable
from lookalike.errors import BadSetting, Reason
from lookalike.sources.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lookalike.cli.options import AnyGallery
    from lookalike.image_files import FolderScan
    from lookalike.types import Found, Outcome

MAX_EXAMPLES = 3
"""Rejected images that are named for each reason."""
OUTCOMES = {
    "added": ("added", "added"),
    "duplicate": ("added with the bytes of another", "added with the bytes of another"),
    "updated": ("updated", "updated"),
    "unchanged": ("unchanged", "unchanged"),
    "linked": ("further link to a file of the gallery", "further links to files of the gallery"),
    "removed": ("removed earlier and not added again", "removed earlier and not added again"),
    "rejected": ("rejected", "rejected"),
}
"""Outcomes in the order and the wording of the summary, of one image and of several."""


@command(app, remote=True, rich_help_panel=IMAGES)
def add(
    session: Session,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH...]",
            show_default=False,
            help="Image files and folders, archives (.tar, .zip), and URLs of them: s3://bucket/prefix.",
        ),
    ] = None,
    key: Annotated[str | None, option("--key KEY", "The key of a single file. [default: the file's name]")] = None,
    attr: Annotated[
        list[str] | None,
        option(
            "--attr NAME=VALUE", "Attribute to store with every image given here (a JSON value, or text). Repeatable."
        ),
    ] = None,
    exif: Annotated[
        bool, flag("--exif/--no-exif", "Store what EXIF data say: capture time, camera, orientation, position.")
    ] = True,
    exclude: Annotated[
        list[str] | None,
        option(
            "--exclude GLOB",
            "Pass over files and folders of this name, or path below the folder. Repeatable. [always: @eaDir, "
            ".thumbnails, Thumbs.db, __MACOSX, .git, and hidden names]",
        ),
    ] = None,
    again: Annotated[bool, flag("--again", "Also add images that were removed from the gallery.")] = False,
    manifest: Annotated[
        list[str] | None,
        option(
            "--manifest FILE",
            "Add the images that a table names: Parquet, CSV, JSON lines or an S3 Inventory report, by path or URL, "
            "also with *. Repeatable.",
        ),
    ] = None,
    shard: Annotated[
        str | None, option("--shard N/M", "Only the N-th of M parts of the manifest, for several processes.")
    ] = None,
) -> int:
    """Add or update images; creates the gallery if there is none.

    An image's key is the name of the given folder and the path below it (below the first folder of a gallery the path
    alone), or the file's name; in an archive it is the name of the member. Unchanged files and objects are skipped
    quickly, so after an interruption run the same command again. Images whose files are gone are reported; `prune`
    forgets them.
    """
    from lookalike.image_files import DEFAULT_EXCLUDES, FolderScan

    _check_arguments(paths, key, manifest, shard)
    excludes = (*DEFAULT_EXCLUDES, *(exclude or ()))
    scan = FolderScan(excludes, session.settings.limits)
    groups = _groups(session, paths or (), key, attr, scan, manifest or (), shard)
    total = None if manifest or any(map(is_url, paths or ())) else partial(_count, paths or (), excludes)
    summary = AddSummary(scan)
    with open_gallery_or_client(session, create=True) as gallery:
        _announce(session, gallery)
        outcomes = chain.from_iterable(
            gallery.add_iter(items, tenant=tenant, exif=exif, again=again) for tenant, items in groups
        )
        _report(session, outcomes, summary, total)
    if not session.json:
        summary.print(name_of(session))
    elif scan.passed_over or scan.others:
        emit({"passed_over": dict(scan.passed_over), "others": dict(scan.others)})
    return ExitCode.PARTIAL if summary.outcomes["rejected"] else ExitCode.OK


def _check_arguments(
    paths: Sequence[str] | None, key: str | None, manifest: Sequence[str] | None, shard: str | None
) -> None:
    """Raise BadSetting for arguments that exclude each other."""
    if not paths and not manifest:
        raise BadSetting("nothing to add; name files, folders or URLs, or a --manifest")
    if manifest and key is not None:
        raise BadSetting("--key and --manifest exclude each other: a manifest names the keys")
    if shard is not None and (paths or not manifest):
        raise BadSetting("--shard is a part of a --manifest; leave out paths")


def _announce(session: Session, gallery: AnyGallery) -> None:
    """Say what takes a while before the first image."""
    from lookalike.factory import HASH_PIPELINES
    from lookalike.gallery import Gallery

    if isinstance(gallery, Gallery) and not session.json and gallery.pipelines != HASH_PIPELINES:
        print_error(f"loading the pipelines {', '.join(gallery.pipelines)}")


def _report(
    session: Session,
    outcomes: Iterator[Outcome],
    summary: AddSummary,
    total: Callable[[], Iterator[object]] | None,
) -> None:
    """Count outcomes as they come, and print them with `--json`."""
    from lookalike.cli.progress import ProgressBar

    if session.json:
        from lookalike.cli.json_output import outcome_object
    try:
        first = list(islice(outcomes, 1))  # before the bar: the pipelines are opened, which may show one of their own
        with ProgressBar("Adding", total, quiet=session.json) as progress:
            for outcome in chain(first, outcomes):
                if session.json:
                    emit(outcome_object(outcome))
                summary.count(outcome)
                progress.advance()
    except KeyboardInterrupt:
        print_error(f"interrupted; {summary.counts_text()}. Run the same command again to continue")
        raise


def _groups(
    session: Session,
    paths: Sequence[str],
    key: str | None,
    attr: Sequence[str] | None,
    scan: FolderScan,
    files: Sequence[str],
    shard: str | None,
) -> Iterator[tuple[str, Iterator[Found]]]:
    """Return what to add, by tenant; raises NotFound for paths that do not exist, before anything is added."""
    from lookalike.gallery import parse_value
    from lookalike.image_files import find_files

    attributes = {name: parse_value(value) for name, value in parse_pairs(attr, "--attr").items()} or None
    given = [(session.tenant, find_files(paths, key=key, attributes=attributes, scan=scan))] if paths else []
    if not files:
        return iter(given)
    from lookalike.sources.manifest import Manifest, by_tenant, parse_shard

    part = parse_shard(shard) if shard is not None else (1, 1)
    manifests = [Manifest(one, part, scan.passes_over, attributes, scan.others) for one in files]
    return chain(given, (group for one in manifests for group in by_tenant(one.entries(), session.tenant)))


def _count(paths: Sequence[str], excludes: tuple[str, ...]) -> Iterator[object]:
    """Yield once for each outcome to expect."""
    from lookalike.image_files import FolderScan, find_files
    from lookalike.types import ScannedFolder

    found = find_files(paths, scan=FolderScan(excludes))
    return (one for one in found if not isinstance(one, ScannedFolder))


class AddSummary:
    """Counts of outcomes and of reasons for rejection, with a few examples of each reason."""

    def __init__(self, scan: FolderScan) -> None:
        self._scan = scan
        self.outcomes: Counter[str] = Counter()
        self._truncated = 0
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, list[Outcome]] = {}
        self._moved: list[Outcome] = []
        self._started = time.monotonic()

    def count(self, outcome: Outcome) -> None:
        if outcome.outcome == "moved":
            self._moved.append(outcome)
            return
        self.outcomes[outcome.outcome] += 1
        self._truncated += outcome.truncated
        if outcome.outcome == "rejected":
            reason = (outcome.reason or "").partition(":")[0]
            reason = reason.replace("_", " ") if reason in get_args(Reason) else "other"
            self._reasons[reason] += 1
            examples = self._examples.setdefault(reason, [])
            if len(examples) < MAX_EXAMPLES:
                examples.append(outcome)

    def counts_text(self) -> str:
        """`1,200 added, 3 rejected`."""
        counts = [counted(n, *words) for outcome, words in OUTCOMES.items() if (n := self.outcomes[outcome])]
        return ", ".join(counts) or "nothing was added"

    def print(self, gallery: str, *, more: str = "add --json lists all of them") -> None:
        total = self.outcomes.total() - self.outcomes["missing"]
        seconds = time.monotonic() - self._started
        if total:
            print_line(f"{counted(total, 'image')}: {self.counts_text()}   ({seconds:.1f} s, {total / seconds:,.0f}/s)")
            print_line(f"Gallery: {printable(gallery)}")
        else:
            print_line("No images found.")
        if self._truncated:
            print_line(
                f"Truncated, pixels are missing: {counted(self._truncated, 'image')} (`lookalike ls` marks them)"
            )
        for moved in self._moved:
            print_line(f"The folder {printable(moved.key)} is known: {printable(moved.reason or '')}.")
        for reason, n in self._reasons.most_common():
            print_line(f"Rejected, {reason} ({n:,}):")
            for outcome in self._examples[reason]:
                message = (outcome.reason or "").removeprefix(reason.replace(" ", "_") + ": ")
                print_line(f"  {printable(outcome.key)}: {printable(message)}")
            if n > MAX_EXAMPLES:
                print_line(f"  and {n - MAX_EXAMPLES:,} more; {more}")
        self._print_rest()

    def _print_rest(self) -> None:
        """Print what is missing, not added again, or was passed over."""
        if missing := self.outcomes["missing"]:
            print_line(
                f"Missing: the files of {counted(missing, 'image')} are gone; add --json names them, "
                "`lookalike prune` forgets them"
            )
        if self.outcomes["removed"]:
            print_line("Removed images stay away; `lookalike add --again` adds them.")
        if passed := self._scan.passed_over:
            kinds = ", ".join(f"{n:,} {printable(kind)}" for kind, n in passed.most_common())
            print_line(f"Passed over: {counted(passed.total(), 'file')} of formats not read: {kinds}")
            if passed["tar"] or passed["zip"]:
                print_line("The members of archives are added where the archives themselves are named.")
        if others := self._scan.others:
            print_line("Passed over: " + ", ".join(f"{kind}: {n:,}" for kind, n in others.most_common()))
