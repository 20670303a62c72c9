"""What an evaluation measures: searches, the hits of each query, and the confidence that orders them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lookalike.pipeline import Calibration
from lookalike.results import SearchOptions
from lookalike.types import Evidence, Hit

VERIFIED, WITH_WINDOWS, TOGETHER = "verified", "with windows", "by distance"
"""Names of the searches with all pipelines of a gallery: with a comparison of pixels, also with windows of the query
where no copy was found, and by distance alone."""
EVALUATED_HITS = 10
"""Hits of a query that are evaluated."""

Sample = Literal["random", "hard", "outside"]
"""How the image of a query was chosen: at random; for a near neighbour that is no copy of it; outside the gallery."""

STANDARD_EDITS = tuple(
    "jpeg15 double_jpeg webp scale_quarter squeeze letterbox white_frame colour_frame blurred_sides "
    "mirror rotate_90 rotate_5 crop_80 crop_50 crop_70_corner grey warm_filter blur noise "
    "watermark text_overlay meme stickers caption screenshot pasted_50 pasted_25".split()
)
"""The 27 edits of an evaluation: what people do to images before they share them, one or two of each kind."""

_CLASSES: Mapping[str, float] = {"exact": 8.0, "verified copy": 6.0, "copy": 4.0, "variant": 2.0, "similar": 0.0}
_MAX_LOG_RATE = 300.0
_AGREEMENT_DIGITS = 2
_RATE_WEIGHT = 0.004
"""Of the false-match rate: less than the smallest step of the agreement."""

Confidence = Callable[[Hit], float]
"""How sure the gallery is of a hit, comparable between queries and pipelines; it falls along the hits of an answer."""


@dataclass(frozen=True, slots=True)
class Search:
    """A way to search that is evaluated: its name, and its options."""

    name: str
    options: SearchOptions


@dataclass(frozen=True, slots=True)
class ScoredHit:
    """A hit with its confidence, and whether it is `right`: the original, or the same image under another key.

    `measure` and `value` are what a calibration judges it by (`lookalike.gallery_calibration`).
    """

    key: str
    path: str | None
    evidence: Evidence
    distance: float
    pipeline: str
    score: float
    right: bool
    measure: str = ""
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The hits of one edited copy in one search, best first.

    `image` is the key of the original, or the name of an image outside the gallery, which has no right answer. `others`
    are the hits of a gallery without the original, in which every hit is false. `radius` and `radius_without` are the
    distances (0..1) of the fourth nearest image with and without the original (`Answer.radius`).
    """

    search: str
    edit: str
    image: str
    sample: Sample
    hits: tuple[ScoredHit, ...]
    others: tuple[ScoredHit, ...]
    radius: float | None = None
    radius_without: float | None = None

    @property
    def rank(self) -> int | None:
        """Rank of the original among the evaluated hits, from 1; None where it was not found."""
        first = self.hits[:EVALUATED_HITS]
        return next((number for number, hit in enumerate(first, 1) if hit.right), None)

    @property
    def right(self) -> ScoredHit | None:
        """The original among the evaluated hits."""
        return None if self.rank is None else self.hits[self.rank - 1]

    @property
    def without_original(self) -> tuple[ScoredHit, ...]:
        """The evaluated hits of a gallery without the original, in which every hit is false."""
        return self.others[:EVALUATED_HITS]


def confidence(calibrations: Mapping[str, Calibration]) -> Confidence:
    """Return the confidence of hits as a gallery ranks them: by evidence, agreement, and false-match rate.

    `calibrations` are those of the gallery's pipelines; a hit by digest is surer than any other.
    """

    def of(hit: Hit) -> float:
        calibration = calibrations.get(hit.pipeline)
        rate = -_MAX_LOG_RATE if calibration is None else calibration.log_false_match_rate(hit.distance)
        evidence = "verified copy" if hit.evidence == "copy" and hit.verified else hit.evidence
        agreement = 0.0
        if evidence == "verified copy" and hit.verification is not None:
            agreement = round(hit.verification.agreement or 0.0, _AGREEMENT_DIGITS)
        return _CLASSES[evidence] + agreement - float(np.clip(rate / _MAX_LOG_RATE, -1, 1)) * _RATE_WEIGHT

    return of


def searches(pipelines: Sequence[str], *, deep: bool = False) -> tuple[Search, ...]:
    """Return the searches to evaluate.

    All pipelines together, with the candidates' pixels compared (verified), if `deep` also with windows of the query,
    and by distance alone; and, where there are several pipelines, each alone by distance.
    """
    several = len(pipelines) > 1
    by_distance = Search(TOGETHER if several else pipelines[0], {"pipelines": list(pipelines), "verify": False})
    alone = tuple(Search(name, {"pipelines": [name], "verify": False}) for name in pipelines) if several else ()
    verified = Search(VERIFIED, {"pipelines": list(pipelines), "verify": True})
    windows = Search(WITH_WINDOWS, {"pipelines": list(pipelines), "verify": True, "deep": True})
    return (verified, *((windows,) if deep else ()), by_distance, *alone)
