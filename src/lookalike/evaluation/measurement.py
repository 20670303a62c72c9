"""What an evaluation measures: searches, the hits of each query, and the confidence that orders them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lookalike.pipeline import Calibration
from lookalike.results import SearchOptions
from lookalike.types import Evidence, Hit

TOGETHER = "together"
"""Name of the search with all pipelines of a gallery."""
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

_CONFIDENCE_OF: Mapping[str, float] = {"exact": 3.0, "copy": 2.0, "variant": 1.0}
_CLASS_WIDTH = 1000.0
"""Wider than log10 of any false-match rate, so that evidence goes first."""

Confidence = Callable[[Hit], float]
"""How sure the gallery is of a hit, comparable between queries and pipelines; it falls along the hits of an answer."""


@dataclass(frozen=True, slots=True)
class Search:
    """A way to search that is evaluated: its name, and its options."""

    name: str
    options: SearchOptions


@dataclass(frozen=True, slots=True)
class ScoredHit:
    """A hit with its confidence, and whether it is `right`: the original, or the same image under another key."""

    key: str
    path: str | None
    evidence: Evidence
    distance: float
    pipeline: str
    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The hits of one edited copy in one search, best first.

    `image` is the key of the original, or the name of an image outside the gallery, which has no right answer.
    """

    search: str
    edit: str
    image: str
    sample: Sample
    hits: tuple[ScoredHit, ...]

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
        """The answer of a gallery without the original, in which every hit is false."""
        return tuple(hit for hit in self.hits if not hit.right)[:EVALUATED_HITS]


def confidence(calibrations: Mapping[str, Calibration]) -> Confidence:
    """Return the confidence of hits as a gallery ranks them: by evidence, then by false-match rate.

    `calibrations` are those of the gallery's pipelines; a hit by digest is surer than any other.
    """

    def of(hit: Hit) -> float:
        calibration = calibrations.get(hit.pipeline)
        rate = -300.0 if calibration is None else calibration.log_false_match_rate(hit.distance)
        return _CLASS_WIDTH * _CONFIDENCE_OF.get(hit.evidence, 0.0) - float(np.clip(rate, -300.0, 300.0))

    return of


def searches(pipelines: tuple[str, ...]) -> tuple[Search, ...]:
    """Return the searches to evaluate: all pipelines together, and, where there are several, each alone."""
    alone = tuple(Search(name, {"pipelines": [name]}) for name in pipelines) if len(pipelines) > 1 else ()
    return (Search(TOGETHER if alone else pipelines[0], {"pipelines": list(pipelines)}), *alone)
