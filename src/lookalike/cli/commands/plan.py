"""`plan`: the resources of a gallery of a given size, and the settings of its engines."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

from rich.table import Column, Table
from rich.text import Text

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import MACHINE, Session, app, command, option, parse_duration, parse_pairs, parse_size
from lookalike.cli.output import counted, emit, out, print_line, size
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.capacity.planner import IndexPlan, PipelineSpec, Plan


@command(app, rich_help_panel=MACHINE)
def plan(
    session: Session,
    images: Annotated[str, option("--images N", "Number of images: 50000, 50k, 2.5M, 10B.", show_default=True)],
    tenants: Annotated[str, option("--tenants N", "Number of tenants.", show_default=True)] = "1",
    qps: Annotated[float, option("--qps N", "Searches per second, each within one tenant.", show_default=True)] = 1,
    pipelines: Annotated[
        str,
        option("--pipelines NAME,...", "The pipelines; NAME:DIMENSIONS for a model of your own.", show_default=True),
    ] = "phash,vgg16",
    engine: Annotated[
        list[str] | None,
        option(
            "--engine NAME=ENGINE",
            "The engine of a pipeline: flat, mih, hnsw, elasticsearch, milvus, or an index type of Milvus: FLAT, "
            "IVF_FLAT, IVF_SQ8, HNSW, DISKANN. Repeatable. [default: chosen by size]",
        ),
    ] = None,
    replicas: Annotated[int | None, option("--replicas N", "Replicas of indexes on servers. [default: 1]")] = None,
    memory: Annotated[str, option("--memory SIZE", "Memory per machine.", show_default=True)] = "64GB",
    cores: Annotated[int, option("--cores N", "Cores per machine.", show_default=True)] = 8,
    machines: Annotated[int | None, option("--machines N", "Machines that add images. [default: 1]")] = None,
    deadline: Annotated[
        str | None, option("--deadline TIME", "Plan the machines that add all images within 12h, 7d.")
    ] = None,
    precision: Annotated[
        str, option("--precision NAME", "Arithmetic precision of networks: fp32, bf16, int8.", show_default=True)
    ] = "bf16",
) -> int:
    """Plan capacity: memory, disk, cores, indexing time and engine settings for a gallery of a given size."""
    from lookalike.capacity.planner import PlanRequest, machines_for, make_plan

    request = PlanRequest(
        _parse_count(images, "--images"),
        tuple(_parse_pipelines(session, pipelines)),
        parse_pairs(engine, "--engine"),
        tenants=_parse_count(tenants, "--tenants"),
        searches=qps,
        replicas=replicas,
        machines=machines or 1,
        cores=cores,
        memory=parse_size(memory, "--memory"),
        precision=precision,
    )
    if deadline is not None:
        if machines is not None:
            raise BadSetting("--deadline and --machines exclude each other: leave out one of them")
        request = replace(request, machines=machines_for(request, parse_duration(deadline, "--deadline")))
    result = make_plan(request)
    if session.json:
        emit(asdict(result))
        return ExitCode.OK
    print_line(
        f"{counted(request.images, 'image')} of {counted(request.tenants, 'tenant')}, "
        f"{request.searches:,g} {'search' if request.searches == 1 else 'searches'} a second; "
        f"machines with {request.memory / 1e9:,g} GB and {counted(request.cores, 'core')}"
    )
    for spec in request.pipelines:
        if spec.metric == "cosine":
            floats = f"{counted(spec.dimensions, 'float')} of 4 bytes {'is' if spec.dimensions == 1 else 'are'}"
            vector = f"{floats} {spec.feature_bytes:,} bytes an image"
            print_line(f"{spec.name}: {vector}, {size(spec.feature_bytes * request.images)} in all.")
    print_line()
    out().print(_resources(result))
    print_line()
    details = Table(box=None, padding=(0, 2), show_header=False, pad_edge=False)
    details.add_column(no_wrap=True, style="dim")
    details.add_column(overflow="fold")
    for label, text in _details(result):
        details.add_row(label, Text(text))
    out().print(details)
    return ExitCode.OK


def _parse_count(text: str, option: str) -> int:
    """A whole number as people write it: 50000, 50_000, 50,000, 50k, 2.5M, 10B; raises BadSetting."""
    match = re.fullmatch(r"(\d[\d_,]*(?:\.\d+)?)\s*([kmbgt]?)", text.strip(), re.IGNORECASE)
    factors = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
    number = float(match[1].replace("_", "").replace(",", "")) * factors[match[2].lower()] if match else 0.5
    if number != round(number):
        raise BadSetting(f"{option} is a whole number such as 50000, 50k, 2.5M or 10B, not {text!r}")
    return round(number)


def _parse_pipelines(session: Session, option: str) -> Iterator[PipelineSpec]:
    """`NAME` of a known model, or `NAME:DIMENSIONS` for vectors of any other."""
    from lookalike.capacity.planner import PipelineSpec
    from lookalike.encoders import model_entries

    known = model_entries(session.settings.models, session.settings.cache)
    for text in filter(None, (part.strip() for part in option.split(","))):
        name, colon, dimensions = text.partition(":")
        if colon:
            yield PipelineSpec(name, "cosine", _parse_count(dimensions, f"the dimensions of {name}"))
        elif name in known and known[name].windows:
            raise BadSetting(
                f"{name} holds windows of stored images, for small galleries, and is not planned for: leave it out"
            )
        elif name in known:
            entry = known[name]
            yield PipelineSpec(name, entry.metric, entry.dimensions, entry.storage)
        else:
            choice = f"give its dimensions ({name}:768), or one of {', '.join(known)}"
            raise BadSetting(f"no encoder is called {name!r}; {choice}")


def _resources(plan: Plan) -> Table:
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("memory", "while adding", "disk", "cores"))
    where = Column("where", overflow="fold")
    table = Table("", where, *numbers, box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    for index in plan.pipelines:
        peak = size(index.adding) if index.adding else ""
        table.add_row(index.pipeline, _place(index), size(index.memory), peak, size(index.disk), _cores(index.cores))
    features = f"{plan.catalog.database} (features {size(plan.catalog.features)})"
    table.add_row("catalog", features, "", "", size(plan.catalog.disk), "")
    processes = counted(plan.processes, "server process", "server processes")
    table.add_row("queries", processes, size(plan.processes * plan.process_memory), "", "", _cores(plan.query_cores))
    table.add_row("all", "", size(plan.memory), "", size(plan.disk), _cores(plan.cores), style="bold")
    return table


def _place(index: IndexPlan) -> str:
    if index.embedded:
        return f"{index.engine}, embedded"
    copies = f"{index.copies} copies on " if index.copies > 1 else ""
    return f"{' '.join(filter(None, (index.engine, index.index_type)))}, {copies}{counted(index.machines, 'machine')}"


def _details(plan: Plan) -> Iterator[tuple[str, str]]:
    request = plan.request
    machines = f"by {counted(request.machines, 'machine')} of {counted(request.cores, 'core')}"
    rate = "" if plan.rate is None else f", {plan.rate:,.0f} images/s; {plan.core_hours:,.0f} core hours"
    yield "adding", f"{_time(plan.days)} {machines}{rate}"
    for index in plan.pipelines:
        yield index.pipeline, f"{index.engine}, {index.why}"
        if not index.embedded:
            yield "", f'[index] {index.pipeline} = "{index.url}"'
        yield from (("", note) for note in index.notes)
        if index.max_images:
            are = "is" if request.memory == 10**9 else "are"
            yield "", f"{request.memory / 1e9:,g} GB {are} enough for {counted(index.max_images, 'image')}"
    yield "catalog", f"{plan.catalog.database}, because {plan.catalog.why}"
    if plan.catalog.url:
        yield "", f'catalog = "{plan.catalog.url}"'
    yield from (("note", note) for note in plan.notes)


def _cores(cores: float | None) -> str:
    if cores is None:
        return "?"
    return "< 0.1" if cores < 0.05 else f"{cores:,.1f}" if cores < 10 else f"{cores:,.0f}"


def _time(days: float | None) -> str:
    if days is None:
        return "?"
    numbers = {"days": days, "hours": days * 24, "minutes": days * 1440}
    unit = next((unit for unit, number in numbers.items() if number >= 1.95), "minutes")
    return f"{numbers[unit]:,.1f} {unit}" if numbers[unit] < 10 else f"{numbers[unit]:,.0f} {unit}"
