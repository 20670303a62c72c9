"""`plan`: the resources of a gallery of a given size, and the settings of its engines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from rich.table import Column, Table
from rich.text import Text

from lookalike.cli.app import MACHINE, app
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import Session, command, flag, option, parse_pairs
from lookalike.cli.output import counted, emit, out, print_line, size
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lookalike.capacity.models import IndexPlan, PipelineSpec, Plan


@command(app, rich_help_panel=MACHINE)
def plan(
    session: Session,
    images: Annotated[str, option("--images N", "Number of images: 50000, 50k, 2.5M, 10B.", show_default=True)],
    tenants: Annotated[str, option("--tenants N", "Number of tenants.", show_default=True)] = "1",
    qps: Annotated[float, option("--qps N", "Searches per second, each within one tenant.", show_default=True)] = 1,
    pipelines: Annotated[
        list[str] | None,
        option(
            "--pipelines NAME,...", "The pipelines; NAME:DIMENSIONS for a model of your own. [default: phash,vgg16]"
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        option(
            "--engine [NAME=]ENGINE",
            "flat, mih, hnsw, elasticsearch, milvus, or an index type of Milvus: FLAT, IVF_FLAT, IVF_SQ8, HNSW, "
            "DISKANN. Repeatable. [default: chosen by size]",
        ),
    ] = None,
    replicas: Annotated[int | None, option("--replicas N", "Replicas of indexes on servers. [default: 1]")] = None,
    memory: Annotated[str, option("--memory SIZE", "Memory per machine.", show_default=True)] = "64GB",
    cores: Annotated[int, option("--cores N", "Cores per machine.", show_default=True)] = 8,
    machines: Annotated[int, option("--machines N", "Machines that add images.", show_default=True)] = 1,
    precision: Annotated[
        str, option("--precision NAME", "Arithmetic precision of networks: fp32, bf16, int8.", show_default=True)
    ] = "bf16",
    catalog: Annotated[str | None, option("--catalog NAME", "sqlite or postgresql. [default: chosen by size]")] = None,
    features: Annotated[
        str,
        option("--features WHERE", "Where features are stored: catalog, or engine (servers only).", show_default=True),
    ] = "catalog",
    thumbnails: Annotated[
        float,
        option(
            "--thumbnails 0..1", "Share of images added as bytes, for which thumbnails are stored.", show_default=True
        ),
    ] = 0,
    sources: Annotated[bool, flag("--sources", "Show every constant and its source.")] = False,
) -> int:
    """Plan capacity: memory, disk, cores, indexing time and engine settings for a gallery of a given size."""
    from lookalike.capacity.models import DATABASES, PlanRequest, parse_count, parse_size
    from lookalike.capacity.planner import make_plan

    if catalog is not None and catalog not in DATABASES:
        raise BadSetting(f"--catalog is one of {', '.join(DATABASES)}, not {catalog!r}")
    if features not in ("catalog", "engine"):
        raise BadSetting(f"--features is catalog or engine, not {features!r}")
    specs = tuple(_parse_pipelines(session, pipelines or ("phash,vgg16",)))
    request = PlanRequest(
        parse_count(images, "--images"),
        specs,
        _parse_engines(engine or (), specs),
        tenants=parse_count(tenants, "--tenants"),
        searches=qps,
        replicas=replicas,
        machines=machines,
        cores=cores,
        memory=parse_size(memory, "--memory"),
        precision=precision,
        catalog=catalog,
        features="engine" if features == "engine" else "catalog",
        thumbnails=thumbnails,
    )
    result = make_plan(request)
    if session.json:
        emit(plan_object(result))
        return ExitCode.OK
    _print_table(result)
    _print_details(result)
    if sources:
        _print_sources(result)
    return ExitCode.OK


def _parse_pipelines(session: Session, options: Iterable[str]) -> Iterable[PipelineSpec]:
    """`NAME` of a known model, or `NAME:DIMENSIONS` for vectors of any other."""
    from lookalike.capacity.models import PipelineSpec, parse_count
    from lookalike.encoders import model_entries

    known = model_entries(session.settings.models, session.settings.cache)
    for text in (part.strip() for argument in options for part in argument.split(",") if part.strip()):
        name, colon, dimensions = text.partition(":")
        if colon:
            yield PipelineSpec(name, "cosine", parse_count(dimensions, f"the dimensions of {name}"))
        elif name in known:
            yield PipelineSpec(name, known[name].metric, known[name].dimensions)
        else:
            raise BadSetting(
                f"no encoder is called {name!r}; give its dimensions ({name}:768), or one of {', '.join(known)}"
            )


def _parse_engines(options: Iterable[str], pipelines: Sequence[PipelineSpec]) -> dict[str, str]:
    """`NAME=ENGINE`, or an engine alone for every pipeline that it can hold."""
    from lookalike.capacity.models import ENGINE_METRICS
    from lookalike.capacity.planner import ENGINES

    engines: dict[str, str] = {}
    for text in options:
        if "=" in text:
            engines |= parse_pairs([text], "--engine")
            continue
        if text.removeprefix("milvus:") not in ENGINES:
            raise BadSetting(f"no engine is called {text!r}; there are {', '.join(ENGINES)}")
        metrics = ENGINE_METRICS.get(text, ("cosine",))
        matching = [pipeline.name for pipeline in pipelines if pipeline.metric in metrics]
        if not matching:
            kind = "hashes" if metrics == ("hamming",) else "vectors"
            raise BadSetting(f"{text} stores {kind}, and none of the pipelines has any; see --pipelines")
        engines |= dict.fromkeys(matching, text)
    return engines


def plan_object(plan: Plan) -> dict[str, Any]:
    """The plan as docs/cli.md describes it."""
    request = asdict(plan.request)
    pipelines = [
        {
            **asdict(pipeline),
            "feature_bytes": pipeline.feature_bytes,
            **{key: value for key, value in asdict(index).items() if key != "pipeline"},
            "embedded": index.embedded,
        }
        for pipeline, index in zip(plan.request.pipelines, plan.indexes, strict=True)
    ]
    return {
        **{key: value for key, value in request.items() if key not in ("pipelines", "engines")},
        "pipelines": pipelines,
        "catalog": asdict(plan.catalog),
        "serving": asdict(plan.serving),
        "adding": asdict(plan.adding),
        "total": {"memory": plan.memory, "disk": plan.disk, "cores": plan.cores},
        "leaving": [asdict(point) for point in plan.leaving],
        "notes": list(plan.notes),
        "constants": [
            {"name": constant.name, "value": float(constant), "unit": constant.unit, "source": constant.source}
            for constant in plan.constants
        ],
    }


def _print_table(plan: Plan) -> None:
    request, serving = plan.request, plan.serving
    print_line(
        f"{counted(request.images, 'image')} of {counted(request.tenants, 'tenant')}, "
        f"{request.searches:,g} {'search' if request.searches == 1 else 'searches'} a second; "
        f"machines with {request.memory / 1e9:,g} GB and {counted(request.cores, 'core')}"
    )
    for pipeline in request.pipelines:
        if pipeline.metric == "cosine":
            vector = f"{pipeline.dimensions:,} floats of 4 bytes are {pipeline.feature_bytes:,} bytes an image"
            print_line(f"{pipeline.name}: {vector}, {size(pipeline.feature_bytes * request.images)} in all.")
    print_line()
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("memory", "while adding", "disk", "cores"))
    where = Column("where", overflow="fold")
    table = Table("", where, *numbers, box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    for index in plan.indexes:
        peak = size(index.adding) if index.adding else ""
        table.add_row(index.pipeline, _engine(index), size(index.memory), peak, size(index.disk), _cores(index.cores))
    table.add_row("catalog", _database(plan), "", "", size(plan.catalog.disk), "")
    processes = counted(serving.processes, "server process", "server processes")
    table.add_row("queries", processes, size(serving.total_memory), "", "", _cores(serving.cores))
    table.add_section()
    table.add_row("all", "", size(plan.memory), "", size(plan.disk), _cores(plan.cores), style="bold")
    out().print(table)
    print_line()


def _print_details(plan: Plan) -> None:
    grid = Table(box=None, padding=(0, 2), show_header=False, pad_edge=False)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("adding", _ingest(plan))
    for index in plan.indexes:
        grid.add_row(index.pipeline, Text(_because(_engine(index).split(",")[0], index.why)))
        if not index.embedded:
            grid.add_row("", Text(", ".join(f"{name} {_setting(value)}" for name, value in index.settings.items())))
            grid.add_row("", Text(f'[index] {index.pipeline} = "{index.url}"'))
        for note in index.notes:
            grid.add_row("", Text(note))
    grid.add_row("catalog", Text(_because(_database(plan).split(" ")[0], plan.catalog.why)))
    if plan.catalog.url:
        grid.add_row("", Text(f'catalog = "{plan.catalog.url}"'))
    for note in (*plan.catalog.notes, *plan.notes):
        grid.add_row("note", Text(note))
    for point in plan.leaving:
        limit = f"{point.images:,} images for {point.pipeline}, then {point.to}: {point.because}"
        grid.add_row("until", Text(limit))
    out().print(grid)


def _ingest(plan: Plan) -> str:
    adding, request = plan.adding, plan.request
    machines = f"by {counted(request.machines, 'machine')} of {counted(request.cores, 'core')}"
    if adding.days is None or adding.rate is None:
        return f"{machines}: not known"
    graph = f", of which {_days(adding.building)} building the graph" if adding.building > adding.days / 20 else ""
    return f"{_days(adding.days)} {machines}, {adding.rate:,.0f} images/s{graph}"


def _engine(index: IndexPlan) -> str:
    name = {"milvus": f"Milvus {index.index_type}", "elasticsearch": "Elasticsearch"}.get(index.engine, index.engine)
    if index.embedded:
        return f"{name}, embedded"
    copies = f"{index.copies} copies on " if index.copies > 1 else ""
    return f"{name}, {copies}{counted(index.machines, 'machine')}"


def _database(plan: Plan) -> str:
    catalog = plan.catalog
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[catalog.database]
    stored = {"features": catalog.features, "thumbnails": catalog.thumbnails}
    parts = [f"{label} {size(nbytes)}" for label, nbytes in stored.items() if nbytes]
    return f"{name} ({', '.join(parts)})" if parts else name


def _cores(cores: float | None) -> str:
    if cores is None:
        return "?"
    return "< 0.1" if cores < 0.05 else f"{cores:,.1f}" if cores < 10 else f"{cores:,.0f}"


def _days(days: float) -> str:
    numbers = {"days": days, "hours": days * 24, "minutes": days * 1440}
    unit = next((unit for unit, number in numbers.items() if number >= 1.95), "minutes")
    number = numbers[unit]
    return f"{number:,.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"


def _because(choice: str, why: str) -> str:
    return f"{choice}, {why if why == 'as requested' else f'because {why}'}"


def _setting(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,}" if value >= 10_000 else f"{value:g}"


def _print_sources(plan: Plan) -> None:
    print_line()
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    for name in ("constant", "value", "unit", "source"):
        table.add_column(name, justify="right" if name == "value" else "left", no_wrap=name == "value", overflow="fold")
    for constant in plan.constants:
        table.add_row(constant.name, f"{constant:,.4g}", Text(constant.unit), Text(constant.source))
    out().print(table)
