"""Measures of ranked answers: how many copies were found, and at what price in false answers.

All of them take the answers to queries whose right images are known. An answer is right if its key is among them.
A query may also have no right image at all: then every answer to it is false.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from lookalike.errors import BadInput


@dataclass(frozen=True, slots=True)
class Ranked:
    """The answers to one query, best first: `hits` are (key, distance); `right` are the keys that should be found."""

    right: frozenset[str]
    hits: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a distance threshold (inclusive) accepts.

    `precision` is the share of accepted answers that are right (1 where none is accepted); `recall` the share of all
    right images that are among them.
    """

    threshold: float
    precision: float
    recall: float
    answers: int


def recall_at(answers: Sequence[Ranked], k: int) -> float:
    """The share of queries with a right image among the first `k` hits; queries without right images don't count.

    Raises BadInput if no query has a right image.
    """
    asked = [answer for answer in answers if answer.right]
    if not asked:
        raise BadInput("No query has a right image, so there is nothing to recall.")
    return sum(any(key in answer.right for key, _ in answer.hits[:k]) for answer in asked) / len(asked)


def micro_average_precision(answers: Sequence[Ranked]) -> float:
    """The area under the precision-recall curve of all answers to all queries, pooled and ordered by distance (uAP).

    One threshold serves all queries, so distances must mean the same for each of them. Answers at the same distance
    count as one step of the curve. Recall counts all right images, also those that are not among the hits. After
    Perronnin, Liu and Renders, A family of contextual measures of similarity (2009), as used in the Image Similarity
    Challenge (Douze et al., 2021). Raises BadInput if no query has a right image.
    """
    wanted, area, before = _wanted(answers), 0.0, 0
    for accepted, right, _ in _steps(answers):
        area += (right - before) / wanted * (right / accepted)
        before = right
    return area


def at_threshold(answers: Sequence[Ranked], threshold: float) -> Accepted:
    """Precision and recall of the answers within this distance; raises BadInput if no query has a right image."""
    wanted, accepted, right = _wanted(answers), 0, 0
    for count, good, distance in _steps(answers):
        if distance <= threshold:
            accepted, right = count, good
    return Accepted(threshold, right / accepted if accepted else 1.0, right / wanted, accepted)


def recall_at_false_share(answers: Sequence[Ranked], share: float) -> Accepted:
    """The best recall that a threshold reaches while at most this share of the accepted answers is false.

    A share of 0 asks for no false answer at all. Where no threshold will do, it is -1 and accepts nothing. Raises
    BadInput if no query has a right image.
    """
    wanted, best = _wanted(answers), Accepted(-1.0, 1.0, 0.0, 0)
    for accepted, right, distance in _steps(answers):
        if accepted - right <= share * accepted and right / wanted > best.recall:
            best = Accepted(distance, right / accepted, right / wanted, accepted)
    return best


@dataclass(frozen=True, slots=True)
class Score:
    """The measures of one set of queries, as a row of a table."""

    name: str
    queries: int
    recall_1: float
    recall_5: float
    average_precision: float
    without_false: float
    with_1_percent_false: float


def score(name: str, answers: Sequence[Ranked]) -> Score:
    """All measures of these answers; raises BadInput if no query has a right image."""
    return Score(
        name,
        len(answers),
        recall_at(answers, 1),
        recall_at(answers, 5),
        micro_average_precision(answers),
        recall_at_false_share(answers, 0.0).recall,
        recall_at_false_share(answers, 0.01).recall,
    )


def table(answers: Mapping[str, Sequence[Ranked]], *, together: str = "all") -> str:
    """A Markdown table with a row for each set of queries (each edit), the last row for all of them together.

    The columns: queries, recall at 1 and at 5, uAP, recall with no false answer and with 1% of false answers.
    """
    rows = [score(name, some) for name, some in answers.items()]
    rows.append(score(together, [answer for some in answers.values() for answer in some]))
    head = ("edit", "queries", "recall@1", "recall@5", "uAP", "recall, 0% false", "recall, 1% false")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [_line(row, widths) for row in cells]
    rule = "|".join(
        "-" * (width + 2) if column == 0 else "-" * (width + 1) + ":" for column, width in enumerate(widths)
    )
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _cells(row: Score) -> tuple[str, ...]:
    shares = (row.recall_1, row.recall_5, row.average_precision, row.without_false, row.with_1_percent_false)
    return (row.name, f"{row.queries:,}", *(f"{share:.3f}" for share in shares))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join([first, *rest])} |"


def _wanted(answers: Sequence[Ranked]) -> int:
    wanted = sum(len(answer.right) for answer in answers)
    if not wanted:
        raise BadInput("No query has a right image, so there is nothing to recall.")
    return wanted


def _steps(answers: Iterable[Ranked]) -> Iterable[tuple[int, int, float]]:
    """For each distance that occurs, nearest first: answers accepted up to it, how many of them right, and itself.

    A key that is named twice in one answer counts once, where it comes first.
    """
    pooled: list[tuple[float, bool]] = []
    for answer in answers:
        nearest: dict[str, float] = {}
        for key, distance in answer.hits:
            nearest.setdefault(key, distance)
        pooled += [(distance, key in answer.right) for key, distance in nearest.items()]
    accepted = right = 0
    for distance, group in groupby(sorted(pooled), key=lambda pair: pair[0]):
        some = [good for _, good in group]
        accepted += len(some)
        right += sum(some)
        yield accepted, right, distance
