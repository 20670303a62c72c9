"""Proof by halves of gallery calibrations: asked and achieved shares of false answers, and their growth with a gallery.

    python -m benchmarks.false_answers [--documents 8] [--pipelines phash,vgg16] [--verify] [--gallery DIR]

A gallery of the photos, or of drawn documents (so many of each family), is searched for one edited copy of each image,
without the original. The calibration is fitted on half of the images, split by group, and the share of false answers is
measured on the other half; the mean of twenty splits is printed. Then galleries are thinned to 1/2, 1/4, 1/8, fitted,
and the share predicted for the whole gallery is compared with the measured one.
"""

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import lookalike
from benchmarks.photos import photo_folder, photos
from lookalike.evaluation.calibrate import calibration_originals, calibration_searches, fit_calibration
from lookalike.evaluation.measurement import VERIFIED, QueryResult, confidence
from lookalike.evaluation.runner import Runner
from lookalike.gallery_calibration import VERIFICATION, Curve, Floats, fit_curve
from lookalike.pipeline import Calibration

SHARES = (0.003, 0.01, 0.03, 0.1)
SPLITS = 20
TRUSTED = ("original", "distractor", "class")
"""Kinds of photos whose groups tell every relation."""


def add_documents(gallery: lookalike.Gallery, each: int, folder: Path) -> dict[str, str]:
    """Draw and add documents; returns the group by key: each is its own."""
    from benchmarks.documents import FAMILIES, draw  # noqa: PLC0415 - only where documents are drawn

    for family in FAMILIES:
        for seed in range(each):
            draw(family, seed).save(folder / f"{family}-{seed}.png", compress_level=1)
    return {outcome.key: outcome.key for outcome in gallery.add(folder)}


def measure(gallery: lookalike.Gallery, groups: dict[str, str], keys: set[str], *, verify: bool) -> list[QueryResult]:
    """The results of one edited copy of each image."""
    records = [record for record in gallery.sample(100_000) if record.key in keys]
    searches = [s for s in calibration_searches(gallery.pipelines) if verify or s.name != VERIFIED]
    runner = Runner(gallery, "default", confidence(gallery.pipeline_calibrations()), searches, (), groups=groups)
    results = [r for of_image in runner.run(calibration_originals(records, len(records), 0)) for r in of_image]
    print(f"{len(records)} images, {len(runner.skipped)} skipped", flush=True)
    return results


def nearest(results: Sequence[QueryResult], measure: str) -> Floats:
    """Value of the surest false hit of each query."""
    return np.array(
        [min((h.value for h in r.without_original if h.measure == measure), default=np.inf) for r in results]
    )


def lowest(results: Sequence[QueryResult], curves: dict[str, Curve], limits: dict[str, float]) -> Floats:
    """The lowest false share of any measure, by query."""
    found: dict[tuple[str, str], float] = {}
    for r in results:
        shares = [
            curves[h.measure].false_share(h.value)
            for h in r.without_original
            if h.measure in curves and h.value <= limits.get(h.measure, np.inf)
        ]
        query = (r.image, r.edit)
        found[query] = min([found.get(query, np.inf), *shares])
    return np.array(list(found.values()))


def halves(results: list[QueryResult], groups: dict[str, str], calibrations: dict[str, Calibration]) -> None:
    """Print asked and achieved shares, by measure and for all together."""
    achieved: dict[tuple[str, float], list[float]] = {}
    limits = {name: c.threshold for name, c in list(calibrations.items())[:-1]}
    for split in range(SPLITS):
        everything = sorted({groups[r.image] for r in results})
        random.Random(split).shuffle(everything)
        first = set(everything[: len(everything) // 2])
        fitted = fit_calibration(
            [r for r in results if groups[r.image] in first], calibrations, fingerprints={}, gallery_images=1, created=0
        )
        other = [r for r in results if groups[r.image] not in first]
        columns = {m: (fitted.measures[m], nearest([r for r in other if r.search == m], m)) for m in calibrations}
        verified = [r for r in other if r.search == VERIFIED]
        if verified:
            columns[VERIFICATION] = (fitted.measures[VERIFICATION], nearest(verified, VERIFICATION))
            columns["verified"] = (fitted.combined["verified"], lowest(verified, dict(fitted.measures), {}))
        if len(calibrations) > 1:
            by_distance = [r for r in other if r.search != VERIFIED]
            columns["by distance"] = (fitted.combined["distance"], lowest(by_distance, dict(fitted.measures), limits))
        for name, (curve, values) in columns.items():
            for share in SHARES:
                if (value := curve.value_at(share)) is not None:
                    achieved.setdefault((name, share), []).append(float(np.mean(values < value)))
    for (name, share), shares in achieved.items():
        print(f"{name:14} asked {share:<6} achieved {np.mean(shares):.4f}  ratio {np.mean(shares) / share:.2f}")


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
    parser.add_argument("--documents", type=int, default=0, help="documents of each family, instead of the photos")
    parser.add_argument("--pipelines", default="phash,vgg16")
    parser.add_argument("--verify", action="store_true", help="also compare pixels")
    parser.add_argument("--gallery", type=Path, help="keep or reuse the gallery here")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        lookalike.open(
            arguments.gallery or f"{temporary}/gallery", pipelines=arguments.pipelines.split(","), create=True
        ) as gallery,
    ):
        if arguments.documents:
            (folder := Path(temporary) / "documents").mkdir()
            groups = add_documents(gallery, arguments.documents, folder)
            keys = set(groups)
        else:
            gallery.add(photo_folder())
            groups = {photo.key: photo.group for photo in photos()}
            keys = {photo.key for photo in photos() if photo.kind in TRUSTED}
        results = measure(gallery, groups, keys, verify=arguments.verify)
        calibrations = gallery.pipeline_calibrations()
        halves(results, groups, calibrations)
        for name in calibrations:
            growth(results, groups, name)


if __name__ == "__main__":
    main()
