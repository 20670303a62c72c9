"""Ranking: the best match of each image, over digests and pipelines, in one order that is stable over pages."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lookalike.gallery.probabilities import CERTAIN, QueryProbabilities
from lookalike.gallery_calibration import measure_of
from lookalike.pipeline import Calibration, Pipeline, Ranked
from lookalike.types import Evidence, Hit, Probability, Record, Verification
from lookalike.verification import label

AGREEMENT_DIGITS = 2
"""Decimals of the agreement in the ranking; smaller differences say nothing, and the distance decides."""
_ORDER = {
    ("exact", True): 0,
    ("copy", True): 1,
    ("copy", False): 2,
    ("variant", True): 3,
    ("similar", True): 4,
}
"""Order of evidence, by whether a copy is verified."""


@dataclass(slots=True)
class Candidate:
    """Best match for one image. `log_rate` is log10 of the false-match rate of its distance, by which hits are ordered.

    `calibration` is that of the pipeline, None where it says nothing of this distance.
    """

    evidence: Evidence
    distance: float
    pipeline: str
    log_rate: float
    verified: bool = False
    verification: Verification | None = None
    calibration: Calibration | None = None

    @property
    def false_match_rate(self) -> float | None:
        """What is known of the false-match rate of its distance; see `Hit`."""
        return None if self.calibration is None else self.calibration.false_match_rate(self.distance)

    @property
    def rank(self) -> tuple[int, float, float]:
        """Sort key, lower is better: evidence; of verified copies the agreement; the false-match rate."""
        agreement = 0.0
        if self.evidence == "copy" and self.verified and self.verification is not None:
            agreement = round(self.verification.agreement or 0.0, AGREEMENT_DIGITS)
        return _ORDER[self.evidence, self.verified or self.evidence != "copy"], -agreement, self.log_rate

    @property
    def measured(self) -> tuple[str, float]:
        """The measure by which a calibration judges it, and its value."""
        return measure_of(self.evidence, self.pipeline, self.distance, self.verification)

    def decide(self, verification: Verification) -> None:
        """Replace the evidence of the distance by that of a comparison of pixels, if there was something to compare."""
        self.verification = verification
        if verification.agreement is not None:
            self.evidence, _ = label(verification)
            self.verified = True


def exact_match(kind: str) -> Candidate:
    """An image with the same bytes, or the same pixels."""
    return Candidate("exact", 0.0, kind, -math.inf, verified=True)


def has_copy(found: Mapping[int, Candidate]) -> bool:
    """Whether a copy was found, verified or by its distance."""
    return any(candidate.evidence in ("exact", "copy") for candidate in found.values())


def merge(found: dict[int, Candidate], pipeline: Pipeline, matches: Ranked) -> None:
    """Add the matches of a pipeline, and keep the better one of an image that was found before."""
    calibration = pipeline.calibration
    for i, distance in zip(matches.ids.tolist(), matches.distances.tolist(), strict=True):
        copy = distance <= calibration.threshold
        evidence: Evidence = "copy" if copy else "similar"
        log_rate = calibration.log_false_match_rate(distance)
        candidate = Candidate(evidence, distance, pipeline.name, log_rate, calibration=calibration)
        if i not in found or candidate.rank < found[i].rank:
            found[i] = candidate


def rank(
    found: Mapping[int, Candidate],
    records: Mapping[int, Record],
    judge: QueryProbabilities | None,
    limit: int,
    *,
    with_tenant: bool,
) -> list[Hit]:
    """The first hits in their final order; an image that was deleted during the search has no record and is omitted."""
    accepted = (i for i in found if i in records and _is_accepted(found[i], judge))
    order = sorted(accepted, key=lambda i: (found[i].rank, i))
    return [
        Hit(
            key=records[i].key,
            path=records[i].path,
            evidence=found[i].evidence,
            distance=round(found[i].distance, 6),
            pipeline=found[i].pipeline,
            attributes=records[i].attributes,
            width=records[i].width,
            height=records[i].height,
            id=i,
            tenant=records[i].tenant if with_tenant else None,
            verified=found[i].verified,
            verification=found[i].verification,
            frames=records[i].frames,
            truncated=records[i].truncated,
            probability=_probability(found[i], judge),
            false_match_rate=found[i].false_match_rate,
        )
        for i in order[:limit]
    ]


def _is_accepted(candidate: Candidate, judge: QueryProbabilities | None) -> bool:
    return judge is None or candidate.evidence == "exact" or judge.accepts(*candidate.measured)


def _probability(candidate: Candidate, judge: QueryProbabilities | None) -> Probability | None:
    if judge is None:
        return None
    return CERTAIN if candidate.evidence == "exact" else judge.probability(*candidate.measured)
