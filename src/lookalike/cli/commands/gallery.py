"""`init`, `status` and `repair`: the gallery as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.table import Column, Table

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import (
    GALLERY,
    Session,
    app,
    command,
    flag,
    name_of,
    open_gallery_or_client,
    option,
    parse_pairs,
)
from lookalike.cli.output import counted, emit, out, print_error, print_line, printable, size
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.config import Precision
    from lookalike.results import PipelineStatus, Status, StoredRecords


MAX_CHECKED_FILES = 100_000
"""Images up to which `status` looks whether their files are there, which takes about 1 s on a local disk."""


@command(app, rich_help_panel=GALLERY)
def init(
    session: Session,
    pipelines: Annotated[
        list[str] | None,
        option(
            "--pipelines NAME,...",
            "The pipelines, in order of precedence. [default: phash,vgg16-copy; phash alone is fastest]",
        ),
    ] = None,
    index: Annotated[
        list[str] | None,
        option(
            "--index NAME=ENGINE",
            "Another index for a pipeline: flat, mih (hashes), hnsw (vectors), or the URL of an engine: "
            "elasticsearch://host:9200, milvus://host:19530, milvus-lite:///file. Repeatable.",
        ),
    ] = None,
    catalog: Annotated[
        str | None,
        option(
            "--catalog URL", "Store records in postgresql://user@host/name. [default: a file in the gallery's folder]"
        ),
    ] = None,
    precision: Annotated[
        str | None, option("--precision NAME", "Arithmetic precision of networks: auto, fp32, bf16 or int8.")
    ] = None,
    exact_phash: Annotated[bool, flag("--exact-phash", "Hash from every pixel, as imagehash does: slower.")] = False,
    verification_records: Annotated[
        str | None,
        option(
            "--verification-records WHICH",
            "Images that get a record of 5 KB, to verify them by when their file cannot be read: off, on, or "
            "no-original for files on another file system than the gallery. [default: no-original]",
        ),
    ] = None,
) -> int:
    """Create an empty gallery with other than the default settings (`add` creates a default one)."""
    from lookalike.config import PRECISIONS, GallerySettings, record_setting
    from lookalike.factory import create_gallery, new_gallery_pipelines
    from lookalike.indexes.address import without_password
    from lookalike.results import DEFAULT_RECORDS

    listed = tuple(name.strip() for text in pipelines or () for name in text.split(",") if name.strip())
    names = listed or new_gallery_pipelines()
    engines = parse_pairs(index, "--index")
    if precision is not None and precision not in PRECISIONS:
        raise BadSetting(f"--precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    networks = cast("Precision | None", precision)
    records = record_setting(verification_records or DEFAULT_RECORDS, "--verification-records")
    gallery = GallerySettings(
        names,
        engines,
        precision=networks,
        exact_phash=exact_phash,
        catalog=catalog,
        verification_records=records,
    )
    create_gallery(session.folder, gallery, session.settings)
    if session.json:
        emit(
            {
                "gallery": str(session.folder),
                "pipelines": names,
                "index": {name: without_password(engine) for name, engine in engines.items()},
                "catalog": without_password(catalog) if catalog else None,
                "precision": precision,
                "exact_phash": exact_phash,
                "verification_records": records,
            }
        )
    else:
        print_line(f"Created a gallery in {printable(str(session.folder))} with the pipelines {', '.join(names)}.")
    return ExitCode.OK


@command(app, remote=True, rich_help_panel=GALLERY)
def status(session: Session) -> int:
    """Show what the gallery holds and whether its indexes are up to date."""
    from lookalike.cli.json_output import status_object
    from lookalike.gallery import Gallery

    with open_gallery_or_client(session) as gallery:
        found = gallery.status()
        files = None
        if isinstance(gallery, Gallery) and found.images <= MAX_CHECKED_FILES:
            files = gallery.missing(tenant=session.tenant, remote=False)
    if session.json:
        missing: dict[str, Any] = {"missing": None, "away": None}
        if files is not None:
            missing = {"missing": len(files.keys), "away": dict(files.away)}
        emit({**status_object(name_of(session), found), **missing})
        return ExitCode.OK
    print_line(f"Gallery   {printable(name_of(session))}")
    print_line(f"Images    {found.images:,} ({size(found.nbytes)}){_breakdown(found)}")
    if files is not None and files.keys:
        print_line(
            f"Missing   the files of {counted(len(files.keys), 'image')} are gone; `lookalike prune` forgets them"
        )
    if found.images > MAX_CHECKED_FILES:
        print_line("Missing   not looked for among so many images; `lookalike prune` lists missing files")
    for folder, number in ({} if files is None else files.away).items():
        print_line(f"Away      {printable(folder)}: none of its {counted(number, 'file')} is there")
    print_line(f"Sequence  {found.sequence:,}")
    print_line(f"Records   {_records(found.verification_records)}")
    print_line()
    out().print(_pipelines(found.pipelines, found.images))
    for measured in found.recall:
        where = "all tenants" if measured.tenant is None else printable(measured.tenant)
        print_line(
            f"Recall of {measured.pipeline} in {where}: {measured.recall:.3f} ({measured.low:.3f} to "
            f"{measured.high:.3f}), of {counted(measured.queries, 'search', 'searches')} repeated exactly"
        )
    return ExitCode.OK


def _breakdown(found: Status) -> str:
    parts = [f"{n:,} {name}" for name, n in sorted(found.formats.items(), key=lambda item: -item[1])]
    if len(found.tenants) > 1:
        parts.append(counted(len(found.tenants), "tenant"))
    return ": " + ", ".join(parts) if parts else ""


def _records(stored: StoredRecords) -> str:
    """Verification records: how many, and whether further ones are made."""
    number = "" if stored.images is None else f"{counted(stored.images, 'record')} ({size(stored.nbytes or 0)}); "
    if stored.off_reason is not None:
        return f"{number}none are made: {stored.off_reason}"
    return f"{number}made of {'all files' if stored.setting == 'on' else 'files on another file system'}"


def _pipelines(pipelines: Sequence[PipelineStatus], images: int) -> Table:
    numbers = (Column("indexed", justify="right"), Column("copies within", justify="right"))
    table = Table("pipeline", "distance", *numbers, "index", box=None, padding=(0, 2), header_style="dim")
    for pipeline in pipelines:
        if pipeline.error is not None:
            table.add_row(pipeline.name, "", "", "", f"unavailable: {printable(pipeline.error)}")
            continue
        threshold = "" if pipeline.threshold is None else f"{pipeline.threshold:.3f}"
        pending = "pending" if pipeline.shared else "not saved yet, replayed when the gallery is opened"
        state = f"{counted(pipeline.behind, 'change')} {pending}" if pipeline.behind else "up to date"
        moving = f"; moving to {pipeline.moving_to}" if pipeline.moving_to else ""
        index = f"{pipeline.engine}: {state}{moving}"
        table.add_row(pipeline.name, pipeline.metric, f"{pipeline.rows:,} of {images:,}", threshold, index)
    return table


@command(app, rich_help_panel=GALLERY)
def prune(
    session: Session,
    folder: Annotated[
        str | None,
        typer.Argument(metavar="FOLDER", show_default=False, help="Only images added from this folder."),
    ] = None,
    yes: Annotated[bool, flag("--yes", "Forget the images; otherwise they are only listed.")] = False,
    whole_folder: Annotated[
        bool, flag("--whole-folder", "Also forget the images of a folder that is away as a whole.")
    ] = False,
) -> int:
    """Forget images whose files are gone. Lists them first; nothing is changed without --yes.

    Images of a folder that is away as a whole are kept, for its disk may be unplugged. An image whose file comes back
    is added again with its folder.
    """
    with session.open() as gallery:
        found = gallery.prune(folder, dry_run=not yes, whole_folder=whole_folder, tenant=session.tenant)
    outcome = "forgotten" if yes else "missing"
    for key in found.keys:
        if session.json:
            emit({"key": key, "outcome": outcome}, flush=False)
        elif not yes:
            print_line(f"  {printable(key)}")
    for away, number in found.away.items():
        if session.json:
            emit({"folder": away, "outcome": "away", "images": number})
        print_error(
            f"kept {counted(number, 'image')} of {away}, where no file is left: if the disk is only unplugged, "
            "plug it in; to forget the images, add --whole-folder"
        )
    if not session.json:
        images = counted(len(found.keys), "image")
        listed = f"{images} missing; prune --yes forgets them" if found.keys else "No image is missing."
        print_line(f"{images} forgotten" if yes else listed)
    return ExitCode.PARTIAL if found.away else ExitCode.OK


@command(app, remote=True, rich_help_panel=GALLERY)
def repair(
    session: Session,
    verification_records: Annotated[
        bool,
        flag(
            "--verification-records",
            "Also make missing and damaged verification records, as the gallery's setting says: reads image files.",
        ),
    ] = False,
) -> int:
    """Check the catalog, and rebuild every index from it. Image files are not read."""
    from lookalike.cli.json_output import repair_object

    with open_gallery_or_client(session) as gallery:
        report = gallery.repair(verification_records=verification_records)
    if session.json:
        emit(repair_object(report))
    else:
        print_line(f"The catalog is consistent: {counted(report.images, 'image')}.")
        for name, rows in report.rebuilt.items():
            print_line(f"Index of {name} rebuilt: {counted(rows, 'row')}.")
        if (records := report.verification_records) is not None:
            print_line(
                f"Verification records: {records.made:,} made, {records.deleted:,} deleted; "
                f"{counted(records.unreadable, 'file')} could not be read."
            )
    return ExitCode.OK
