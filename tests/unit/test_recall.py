"""Measures of ranked answers, against values worked out by hand and against definitions written out plainly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import BadInput
from lookalike.evaluation.recall import (
    Ranked,
    at_threshold,
    micro_average_precision,
    recall_at,
    recall_at_false_share,
    score,
    table,
)


def ranked(right: str, *hits: tuple[str, float]) -> Ranked:
    return Ranked(frozenset(right), hits)


# a at 0.1 right; x at 0.2 false; b at 0.3 right; y at 0.4 false; c is never found
ANSWERS = [
    ranked("a", ("a", 0.1), ("y", 0.4)),
    ranked("b", ("x", 0.2), ("b", 0.3)),
    ranked("c", ("z", 0.5)),
]


def test_recall_at_k() -> None:
    assert recall_at(ANSWERS, 1) == pytest.approx(1 / 3)
    assert recall_at(ANSWERS, 2) == pytest.approx(2 / 3)
    assert recall_at(ANSWERS, 9) == pytest.approx(2 / 3)
    assert recall_at([*ANSWERS, ranked("", ("q", 0.0))], 1) == pytest.approx(1 / 3), "nothing to find does not count"


def test_micro_average_precision() -> None:
    # recall grows by 1/3 at precision 1/1, and by 1/3 at precision 2/3
    assert micro_average_precision(ANSWERS) == pytest.approx(1 / 3 + 2 / 9)


def test_a_false_answer_to_a_query_without_original_costs_precision() -> None:
    assert micro_average_precision([*ANSWERS, ranked("", ("q", 0.05))]) == pytest.approx(1 / 3 * (1 / 2 + 2 / 4))


def test_ties_count_as_one_step_whatever_their_order() -> None:
    one = [ranked("a", ("a", 0.1)), ranked("b", ("x", 0.1))]
    assert micro_average_precision(one) == micro_average_precision(one[::-1]) == pytest.approx(1 / 2 * 1 / 2)


def test_a_repeated_key_counts_once() -> None:
    assert micro_average_precision([ranked("a", ("a", 0.1), ("a", 0.2))]) == 1.0


def test_at_threshold() -> None:
    at = at_threshold(ANSWERS, 0.3)
    assert (at.precision, at.recall, at.answers) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert at_threshold(ANSWERS, 0.05).precision == 1.0
    assert at_threshold(ANSWERS, 0.05).answers == 0


def test_recall_without_false_answers_and_with_some() -> None:
    none = recall_at_false_share(ANSWERS, 0.0)
    assert (none.threshold, none.recall, none.precision) == (0.1, pytest.approx(1 / 3), 1.0)
    third = recall_at_false_share(ANSWERS, 0.34)
    assert (third.threshold, third.recall) == (0.3, pytest.approx(2 / 3))
    assert recall_at_false_share([ranked("a", ("x", 0.1), ("a", 0.2))], 0.0).threshold == -1.0


@pytest.mark.parametrize("measure", [micro_average_precision, lambda some: recall_at(some, 1)])
def test_nothing_to_recall_is_an_error(measure) -> None:
    with pytest.raises(BadInput, match="right image"):
        measure([ranked("", ("a", 0.1))])


answers = st.lists(
    st.builds(
        Ranked,
        st.frozensets(st.sampled_from("abcd"), min_size=1, max_size=2),
        st.lists(
            st.tuples(st.sampled_from("abcdxyz"), st.integers(0, 8).map(lambda n: n / 8)),
            max_size=5,
            unique_by=lambda hit: hit[0],
        ).map(lambda hits: tuple(sorted(hits, key=lambda hit: hit[1]))),
    ),
    min_size=1,
    max_size=6,
)


@given(answers)
def test_average_precision_is_the_sum_over_thresholds(some: list[Ranked]) -> None:
    area = before = 0.0
    for step in range(9):
        at = at_threshold(some, step / 8)
        area += (at.recall - before) * at.precision
        before = at.recall
    assert micro_average_precision(some) == pytest.approx(area)


@given(answers, st.floats(0, 1))
def test_the_best_recall_keeps_its_promise(some: list[Ranked], share: float) -> None:
    best = recall_at_false_share(some, share)
    assert at_threshold(some, best.threshold).recall == best.recall
    assert 1 - best.precision <= share + 1e-9
    for step in range(9):
        at = at_threshold(some, step / 8)
        assert at.recall <= best.recall or 1 - at.precision > share - 1e-9


@given(answers)
def test_recall_grows_with_k(some: list[Ranked]) -> None:
    values = [recall_at(some, k) for k in range(6)]
    assert values == sorted(values)
    assert values[0] == 0


def test_the_table_has_a_row_for_each_edit_and_one_for_all() -> None:
    text = table({"mirror": ANSWERS, "crop_50": [ranked("a", ("a", 0.1))]})
    lines = text.splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["edit", "-" * 9, "mirror", "crop_50", "all"]
    assert lines[-1].split("|")[2].strip() == "4"
    assert lines[3].split("|")[3].strip() == "1.000"
    assert len({len(line) for line in lines}) == 1
    assert score("x", ANSWERS).queries == 3
