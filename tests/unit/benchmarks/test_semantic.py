"""Rates are shares of the right pairs."""

from benchmarks.semantic import Pair, pairs_in, rates

PAIRS = [
    Pair(is_same=True, nearness=0.9, has_same_facts=True),
    Pair(is_same=True, nearness=0.7, has_same_facts=True),
    Pair(is_same=False, nearness=0.95, has_same_facts=False),
    Pair(is_same=False, nearness=0.6, has_same_facts=True),
]


def test_pairs_are_spelled_out_with_their_kind() -> None:
    assert pairs_in("# a changed number\nIn {1|2}?\n\n# the same\n{What is|Explain} it{?|}") == [
        (False, "In 1?", "In 2?"),
        (True, "What is it?", "Explain it"),
    ]


def test_an_answer_takes_nearness_and_where_facts_count_the_same_facts() -> None:
    assert rates(PAIRS, 0.8, by_facts=False) == (0.5, 0.5)
    assert rates(PAIRS, 0.8, by_facts=True) == (0.5, 0.0)
    assert rates(PAIRS, 0.5, by_facts=True) == (1.0, 0.5)
