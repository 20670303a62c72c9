"""Proof by halves of gallery calibrations: asked and achieved shares of false answers, and their growth with a gallery.

    python -m benchmarks.false_answers [--photos N] [--documents 8] [--pipelines phash,vgg16] [--verify] [--seeds 3]
        [--gallery DIR]

A gallery of photos, drawn documents (so many of each family), or both, is searched for one edited copy of each image,
without the original, with each seed for another edit. The calibration is fitted on half of the images, split by group,
and the share of false answers is measured on the other half, of both kinds also for each kind: the mean of both halves
of twenty splits of each seed, without those that a calibration refuses, with a bootstrap interval over groups. Then
galleries are thinned to 1/2, 1/4, 1/8, fitted, and the share predicted for the whole gallery is compared with the
measured one.
"""

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import lookalike
from benchmarks.photos import photos
from lookalike.errors import UnsupportedQuery
from lookalike.evaluation.calibrate import Query, calibration_originals, calibration_searches, fit_calibration
from lookalike.evaluation.measurement import VERIFIED, QueryResult, confidence
from lookalike.evaluation.metrics import Estimate, bootstrap
from lookalike.evaluation.runner import Runner
from lookalike.gallery_calibration import Floats, GalleryCalibration, Mode, fit_curve
from lookalike.pipeline import Calibration
from lookalike.types import Item

SHARES = (0.003, 0.01, 0.03, 0.1)
SPLITS = 20
DOCUMENT_GROUP = "document "
"""Before the key in the group of a drawn document."""
TRUSTED = ("original", "distractor", "class")
"""Kinds of photos whose groups tell every relation."""


def add_photos(gallery: lookalike.Gallery, count: int) -> dict[str, str]:
    """Add this many photos, at random, of the kinds whose groups tell every relation; returns the group by key."""
    chosen = [photo for photo in photos() if photo.kind in TRUSTED]
    if count < len(chosen):
        chosen = random.Random(1).sample(chosen, count)
    outcomes = gallery.add([Item(photo.key, photo.path) for photo in chosen])
    group = {photo.key: photo.group for photo in chosen}
    return {o.key: group[o.key] for o in outcomes if o.key is not None and o.outcome != "rejected"}


def add_documents(gallery: lookalike.Gallery, each: int, folder: Path) -> dict[str, str]:
    """Draw and add documents; returns the group by key: each is its own."""
    from benchmarks.documents import FAMILIES, draw  # noqa: PLC0415 - only where documents are drawn

    for family in FAMILIES:
        for seed in range(each):
            draw(family, seed).save(folder / f"{family}-{seed}.png", compress_level=1)
    return {o.key: f"{DOCUMENT_GROUP}{o.key}" for o in gallery.add(folder) if o.key is not None}


def measure(gallery: lookalike.Gallery, groups: dict[str, str], seed: int, *, verify: bool) -> list[QueryResult]:
    """The results of one edited copy of each image."""
    records = [record for record in gallery.sample(100_000) if record.key in groups]
    searches = [s for s in calibration_searches(gallery.pipelines) if verify or s.name != VERIFIED]
    runner = Runner(gallery, "default", confidence(gallery.pipeline_calibrations()), searches, (), seed, groups=groups)
    results = [r for of_image in runner.run(calibration_originals(records, len(records), seed)) for r in of_image]
    print(f"seed {seed}: {len(records)} images, {len(runner.skipped)} skipped", flush=True)
    return results


def nearest(results: Sequence[QueryResult], measure: str) -> Floats:
    """Value of the surest false hit of each query."""
    return np.array(
        [min((h.value for h in r.without_original if h.measure == measure), default=np.inf) for r in results]
    )


def halves(runs: Sequence[list[QueryResult]], groups: dict[str, str], calibrations: dict[str, Calibration]) -> None:
    """Print asked and achieved shares, by measure and for all together; of several kinds of images also for each.

    `runs` are the results by seed.
    """
    answered: dict[tuple[str, float], dict[str, list[bool]]] = {}
    for number, results in enumerate(runs):
        for name, image, found, shown in judged(results, groups, calibrations, number):
            for share in shown:
                answered.setdefault((name, share), {}).setdefault(image, []).append(found <= share)
    images = {image for of_images in answered.values() for image in of_images}
    kinds = sorted({kind_of(groups[image]) for image in images})
    for (name, share), of_images in answered.items():
        for kind in ["all", *kinds] if len(kinds) > 1 else ["all"]:
            of_kind = by_group(of_images, groups, kind)
            found = with_interval(of_kind)
            factors = f"{found.value / share:.2f} ({found.low / share:.2f} to {found.high / share:.2f})"
            print(f"{name:14} {kind:9} asked {share:<6} achieved {found.value:.4f}  x {factors}  {len(of_kind)} groups")


def by_group(of_images: dict[str, list[bool]], groups: dict[str, str], kind: str) -> list[list[bool]]:
    """What was found of each group of images of a kind."""
    found: dict[str, list[bool]] = {}
    for image, answers in of_images.items():
        if kind in ("all", kind_of(groups[image])):
            found.setdefault(groups[image], []).extend(answers)
    return list(found.values())


def with_interval(of_groups: list[list[bool]]) -> Estimate:
    """The share of queries that were answered, with its interval over groups of images."""
    answered, asked = (np.array([f(of_group) for of_group in of_groups], np.float64) for f in (sum, len))
    return bootstrap(lambda weights: float(weights @ answered / (weights @ asked)), len(of_groups))


def judged(
    results: list[QueryResult], groups: dict[str, str], calibrations: dict[str, Calibration], run: int
) -> Iterator[tuple[str, str, float, list[float]]]:
    """Mode, image and share of false answers of every query, by a calibration of the other half, of many splits.

    Also which of the `SHARES` that calibration does not refuse.
    """
    everything = sorted({groups[r.image] for r in results})
    for split in range(SPLITS):
        random.Random(f"{run} {split}").shuffle(everything)
        first = set(everything[: len(everything) // 2])
        halves = [r for r in results if groups[r.image] in first], [r for r in results if groups[r.image] not in first]
        for known, other in (halves, halves[::-1]):
            fitted = fit_calibration(known, calibrations, fingerprints={}, gallery_images=1, created=0)
            for name, of_queries in shares(fitted, other, calibrations).items():
                shown = [share for share in SHARES if is_shown(fitted, share, name, list(calibrations))]
                yield from ((name, image, share, shown) for (image, _), share in of_queries.items())


def is_shown(fitted: GalleryCalibration, share: float, name: str, pipelines: list[str]) -> bool:
    """Whether a search of this name with this share as `max_false` is not refused."""
    mode: Mode = "single" if name in pipelines else "verified" if name == VERIFIED else "distance"
    try:
        fitted.check_share(share, [name] if mode == "single" else pipelines, mode, images=1)
    except UnsupportedQuery:
        return False
    return True


def shares(
    fitted: GalleryCalibration, results: list[QueryResult], calibrations: dict[str, Calibration]
) -> dict[str, dict[Query, float]]:
    """By mode, the share of false answers that each query's surest false hit has; infinite without hits."""
    limits = {name: c.threshold for name, c in list(calibrations.items())[:-1]}
    last = list(calibrations)[-1]
    found: dict[str, dict[Query, float]] = {}

    def add(name: str, result: QueryResult, mode: Mode, radius: float | None, within: dict[str, float]) -> None:
        [group] = fitted.groups_at(result.search if mode == "single" else last, radius)
        hits = [h for h in result.without_original if h.value <= within.get(h.measure, np.inf)]
        judged = [group.false_share(h.measure, h.value, mode, 1.0) for h in hits]
        query, of_mode = (result.image, result.edit), found.setdefault(name, {})
        of_mode[query] = min([of_mode.get(query, np.inf), *(share for share in judged if share is not None)])

    radii = {(r.image, r.edit): _known(r.radius_without) for r in results if r.search == last}
    for result in results:
        if result.search == VERIFIED:
            add("verified", result, "verified", _known(result.radius_without), {})
        else:
            add(result.search, result, "single", _known(result.radius_without), {})
            if len(calibrations) > 1:
                add("by distance", result, "distance", radii[result.image, result.edit], limits)
    return found


def _known(radius: float | None) -> float:
    return np.inf if radius is None else radius


def kind_of(group: str) -> str:
    """Whether a group is of photos or of drawn documents."""
    return "documents" if group.startswith(DOCUMENT_GROUP) else "photos"


def growth(results: list[QueryResult], groups: dict[str, str], measure: str) -> None:
    """Print achieved by asked share in the whole gallery, where the sample was of a smaller one."""
    of_measure = [r for r in results if r.search == measure]
    for factor in (2, 4, 8):
        ratios: dict[float, list[float]] = {}
        for split in range(SPLITS // 2):
            thinned = [_thin(r, _kept(split, factor, groups)) for r in of_measure]
            curve = fit_curve(np.empty(0), nearest(thinned, measure), len(thinned))
            for share in SHARES:
                if (value := curve.value_at(share, factor)) is not None:
                    ratios.setdefault(share, []).append(float(np.mean(nearest(of_measure, measure) < value)) / share)
        print(f"{measure:14} grown {factor} x: { ({s: round(float(np.mean(r)), 2) for s, r in ratios.items()}) }")


def _kept(split: int, factor: int, groups: dict[str, str]) -> Callable[[str], bool]:
    return lambda key: random.Random(f"{split} {groups.get(key, key)}").random() < 1 / factor


def _thin(result: QueryResult, keep: Callable[[str], bool]) -> QueryResult:
    return replace(result, others=tuple(hit for hit in result.others if keep(hit.key)))


def main() -> None:
    """Build the gallery, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, help="so many photos; default: all, or none with --documents")
    parser.add_argument("--documents", type=int, default=0, help="documents of each family")
    parser.add_argument("--pipelines", default="phash,vgg16")
    parser.add_argument("--seeds", type=int, default=1, help="of the edits: so many runs")
    parser.add_argument("--verify", action="store_true", help="also compare pixels")
    parser.add_argument("--gallery", type=Path, help="keep the gallery here")
    arguments = parser.parse_args()
    wanted = arguments.photos if arguments.photos is not None else 0 if arguments.documents else len(photos())
    with (
        tempfile.TemporaryDirectory() as temporary,
        lookalike.open(
            arguments.gallery or f"{temporary}/gallery", pipelines=arguments.pipelines.split(","), create=True
        ) as gallery,
    ):
        groups: dict[str, str] = {}
        if wanted:
            groups |= add_photos(gallery, wanted)
        if arguments.documents:
            (folder := Path(temporary) / "documents").mkdir()
            groups |= add_documents(gallery, arguments.documents, folder)
        runs = [measure(gallery, groups, seed, verify=arguments.verify) for seed in range(arguments.seeds)]
        calibrations = gallery.pipeline_calibrations()
        halves(runs, groups, calibrations)
        for name in calibrations:
            growth(runs[0], groups, name)


if __name__ == "__main__":
    main()
