import asyncio

import pytest

from tests.support.ingestion import CountedModel
from undercroft.vectors.ingestion.embedding import mean
from undercroft.vectors.types import vector_of


def test_a_text_that_is_too_long_is_embedded_in_pieces_of_about_one_length() -> None:
    counted = CountedModel(longest=4)
    vectors = asyncio.run(counted.model.embed(["one two three four five six", "short"]))
    assert counted.asked == ["one two three", "four five six", "short"]
    assert len(vectors) == 2


def test_the_mean_has_length_one() -> None:
    assert list(mean([vector_of([2, 0]), vector_of([0, 2])])) == pytest.approx([0.7071, 0.7071], abs=1e-3)
    assert list(mean([vector_of([2, 0])])) == [2, 0], "a single one stays as the model made it"
