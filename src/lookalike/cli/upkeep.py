"""`init`, `status` and `repair`: the gallery as a whole."""

from collections.abc import Iterable, Sequence
from typing import cast

from rich.table import Table

from lookalike.cli.failures import ExitCode
from lookalike.cli.gallery_access import name_of, open_gallery_or_client
from lookalike.cli.json_output import repair_object, status_object
from lookalike.cli.options import Session, pairs
from lookalike.cli.output import counted, emit, out, print_line, printable, size
from lookalike.config import DEFAULT_PIPELINES, PRECISIONS, GallerySettings, Precision
from lookalike.errors import BadSetting
from lookalike.factory import create_gallery
from lookalike.indexes.address import without_password
from lookalike.results import PipelineStatus, Status


def init(
    session: Session,
    pipelines: Sequence[str] | None,
    index: Sequence[str] | None,
    catalog: str | None,
    precision: str | None,
    *,
    exact_phash: bool,
) -> int:
    """Make an empty gallery; raises BadSetting where there is one already."""
    names = _names(pipelines or ()) or DEFAULT_PIPELINES
    engines = pairs(index, "--index")
    made_with = GallerySettings(
        names, engines, precision=_precision(precision), exact_phash=exact_phash, catalog=catalog
    )
    create_gallery(session.folder, made_with, session.settings)
    if session.json:
        emit(
            {
                "gallery": str(session.folder),
                "pipelines": names,
                "index": {name: without_password(engine) for name, engine in engines.items()},
                "catalog": without_password(catalog) if catalog else None,
                "precision": precision,
                "exact_phash": exact_phash,
            }
        )
    else:
        print_line(f"Made a gallery in {printable(str(session.folder))} with the pipelines {', '.join(names)}.")
    return ExitCode.OK


def _names(written: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.strip() for text in written for name in text.split(",") if name.strip())


def _precision(given: str | None) -> Precision | None:
    if given is not None and given not in PRECISIONS:
        raise BadSetting(f"--precision is one of {', '.join(PRECISIONS)}, not {given!r}")
    return cast(Precision | None, given)


def status(session: Session) -> int:
    """Tell how the gallery stands."""
    with open_gallery_or_client(session) as gallery:
        found = gallery.status()
    if session.json:
        emit(status_object(name_of(session), found))
        return ExitCode.OK
    print_line(f"Gallery   {printable(name_of(session))}")
    print_line(f"Images  {found.images:,} ({size(found.nbytes)}){_breakdown(found)}")
    print_line(f"Changes   {found.sequence:,}")
    print_line()
    out().print(_pipelines(found.pipelines, found.images))
    return ExitCode.OK


def _breakdown(found: Status) -> str:
    parts = [f"{n:,} {name}" for name, n in sorted(found.formats.items(), key=lambda item: -item[1])]
    if len(found.tenants) > 1:
        parts.append(counted(len(found.tenants), "tenant"))
    return ": " + ", ".join(parts) if parts else ""


def _pipelines(pipelines: Sequence[PipelineStatus], images: int) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name, justify in (("pipeline", "left"), ("distance", "left"), ("indexed", "right"), ("copies within", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("index")
    for pipeline in pipelines:
        if pipeline.error is not None:
            table.add_row(pipeline.name, "", "", "", f"cannot be used now: {printable(pipeline.error)}")
            continue
        threshold = "" if pipeline.threshold is None else f"{pipeline.threshold:.3f}"
        later = "to be applied" if pipeline.shared else "not saved yet, replayed at opening"
        stands = f"{counted(pipeline.behind, 'change')} {later}" if pipeline.behind else "up to date"
        index = f"{pipeline.engine}: {stands}"
        table.add_row(pipeline.name, pipeline.metric, f"{pipeline.rows:,} of {images:,}", threshold, index)
    return table


def repair(session: Session) -> int:
    """Check the catalog and build the indexes anew; raises Damaged where the catalog itself is damaged."""
    with open_gallery_or_client(session) as gallery:
        report = gallery.repair()
    if session.json:
        emit(repair_object(report))
    else:
        print_line(f"The catalog is sound: {counted(report.images, 'image')}.")
        for name, rows in report.rebuilt.items():
            print_line(f"Index of {name} built anew: {counted(rows, 'row')}.")
    return ExitCode.OK
