"""`calibrate`: how likely a hit is a copy, and how often searches answer falsely, on the gallery's own images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table

from lookalike.cli.commands.evaluate import MAX_OUTSIDE, read_groups
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import GALLERY, Session, app, command, option
from lookalike.cli.output import counted, emit, out, print_error, print_line
from lookalike.errors import BadSetting, NotFound

if TYPE_CHECKING:
    from lookalike.evaluation.measurement import QueryResult
    from lookalike.gallery_calibration import CurveGroup, GalleryCalibration

SHOWN_SHARES = (0.1, 0.03, 0.01, 0.003, 0.001, 3e-4, 1e-4)
MIN_IMAGES = 20
"""Fewer images show nothing that a user could go by."""


@command(app, rich_help_panel=GALLERY)
def calibrate(
    session: Session,
    queries: Annotated[
        int, option("--queries N", "Edited copies to search for; more can show rarer errors.", show_default=True)
    ] = 1000,
    groups: Annotated[
        str | None,
        option("--groups FILE", "Lines of KEY, tab, GROUP: images of one group are the same image."),
    ] = None,
    seed: Annotated[int, option("--seed N", "Of the choice of images and of the edits.", show_default=True)] = 0,
) -> int:
    """Measure how far a hit of this gallery can be trusted, and store it.

    Afterwards hits carry the probability that they are copies, and searches take --max-false. Repeat it after a change
    of the pipelines.
    """
    from lookalike.cli.progress import ProgressBar
    from lookalike.evaluation.calibrate import calibration_originals, calibration_searches, fit_calibration
    from lookalike.evaluation.measurement import confidence
    from lookalike.evaluation.runner import Runner, outside_images
    from lookalike.samples import sample_paths

    if queries < MIN_IMAGES:
        raise BadSetting(f"--queries must be at least {MIN_IMAGES}, not {queries}")
    with session.open() as gallery:
        from PIL import Image

        calibrations = gallery.pipeline_calibrations()
        originals = calibration_originals(gallery.sample(queries, tenant=session.tenant, seed=seed), queries, seed)
        if len(originals) < MIN_IMAGES:
            raise NotFound(f"a calibration needs {MIN_IMAGES} images with files; the gallery has {len(originals)}")
        outside = outside_images(gallery, sample_paths()[:MAX_OUTSIDE], tenant=session.tenant)
        runner = Runner(
            gallery,
            session.tenant,
            confidence(calibrations),
            calibration_searches(gallery.pipelines),
            (),
            seed,
            [Image.open(path) for path in outside],
            None if groups is None else read_groups(Path(groups)),
        )
        results: list[QueryResult] = []
        with ProgressBar("calibrating", lambda: originals, quiet=session.json) as bar:
            for of_image in runner.run(originals):
                results.extend(of_image)
                bar.advance()
        for name, why in runner.skipped.items():
            print_error(f"skipped {name}: {why}")
        images = gallery.status().tenants[session.tenant]
        calibration = fit_calibration(
            results,
            calibrations,
            fingerprints=gallery.fingerprints(),
            gallery_images=images,
            created=time.time(),
        )
        gallery.set_calibration(calibration, tenant=session.tenant)
    if session.json:
        emit(calibration.to_json())
    else:
        _show(calibration, len(results) // len(runner.searches))
    return ExitCode.PARTIAL if runner.skipped else ExitCode.OK


def _show(calibration: GalleryCalibration, queries: int) -> None:
    """By group and measure, the distance within which hits are false for a share of queries, and the sample's limit."""
    images = counted(calibration.gallery_images, "image")
    print_line(f"Calibrated with {counted(queries, 'edited copy', 'edited copies')}, in a gallery of {images}.")
    limits = calibration.radii[list(calibration.radii)[-1]]
    for group, low, high in zip(calibration.groups, (None, *limits), (*limits, None), strict=True):
        if len(calibration.groups) > 1:
            print_line(f"\nQueries whose fourth nearest image is {_between(low, high)}:")
        else:
            print_line("")
        out().print(_table(group))


def _between(low: float | None, high: float | None) -> str:
    bounds = [f"farther than {low:.3f}"] if low is not None else []
    return " and ".join([*bounds, *([f"within {high:.3f}"] if high is not None else [])])


def _table(group: CurveGroup) -> Table:
    table = Table("false answers", box=None, header_style="bold", pad_edge=False)
    for name in group.measures:
        table.add_column(f"{name}: distance below", justify="right")
        table.add_column("probability of a copy there", justify="right")
    for share in SHOWN_SHARES:
        cells = []
        for curve in group.measures.values():
            value = curve.value_at(share)
            if value is None:
                unseen = f"fewer than 1 in {1 / curve.floor():,.0f} not seen"
                cells += [unseen if share < curve.floor() else "more at 0 alone", ""]
            else:
                p = curve.probability(min(value, 1.0))
                cells += [f"{min(value, 1.0):.3f}", f"{p.value:.3f} ({p.low:.3f} to {p.high:.3f})"]
        table.add_row(f"{share:g}", *cells)
    return table
