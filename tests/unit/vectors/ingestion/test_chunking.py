import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ingestion import words
from undercroft.errors import InvalidRequest
from undercroft.vectors.ingestion.chunking import chunks_of, estimated_tokens
from undercroft.vectors.ingestion.types import Document, Mark, Plan, Strategy

TEN = " ".join(f"w{number}" for number in range(10))


def texts(text: str, strategy: Strategy, *, size: int, overlap: int = 0, marks: tuple[Mark, ...] = ()) -> list[str]:
    plan = Plan(strategy=strategy, size=size, overlap=overlap)
    return [chunk.text for chunk in chunks_of(Document(text, marks), plan, words)]


def test_fixed_chunks_have_so_many_tokens_and_repeat_the_overlap() -> None:
    assert texts(TEN, "tokens", size=4, overlap=1) == ["w0 w1 w2 w3", "w3 w4 w5 w6", "w6 w7 w8 w9"]


def test_sentences_stay_whole_where_they_fit() -> None:
    said = "One two three. Four five six. Seven eight."
    assert texts(said, "sentences", size=6) == ["One two three. Four five six.", "Seven eight."]


def test_a_sentence_is_repeated_when_it_fits_into_the_overlap() -> None:
    said = "One two. Three four. Five six."
    assert texts(said, "sentences", size=4, overlap=2) == ["One two. Three four.", "Three four. Five six."]


def test_a_sentence_longer_than_a_chunk_is_cut_by_tokens() -> None:
    assert texts(TEN + ".", "sentences", size=4) == ["w0 w1 w2 w3", "w4 w5 w6 w7", "w8 w9."]


def test_parts_under_different_headings_are_not_mixed() -> None:
    text = "first part\n\nsecond part"
    marks = (Mark(0, "A"), Mark(12, "B"))
    plan = Plan(size=200)
    chunks = chunks_of(Document(text, marks), plan, words)
    assert [(chunk.title, chunk.text) for chunk in chunks] == [("A", "first part"), ("B", "second part")]
    assert chunks[0].embedded == "A\nfirst part"


def test_small_parts_under_one_heading_go_together() -> None:
    text = "a: 1\n\na: 2\n\na: 3"
    assert texts(text, "structure", size=4, marks=(Mark(0), Mark(6), Mark(12))) == ["a: 1\n\na: 2", "a: 3"]


def test_a_long_part_is_cut_between_paragraphs() -> None:
    text = "one two three\n\nfour five six\n\nseven"
    assert texts(text, "structure", size=4, marks=(Mark(0, "T"),)) == ["one two three", "four five six\n\nseven"]


def test_a_chunk_knows_its_page() -> None:
    document = Document("first page\n\nsecond page", (Mark(0, "", 1), Mark(12, "", 2)))
    assert [chunk.page for chunk in chunks_of(document, Plan(size=2, overlap=0), words)] == [1, 2]


@pytest.mark.parametrize("text", ["", " \n\n ", "\t"])
@pytest.mark.parametrize("strategy", ["structure", "sentences", "tokens"])
def test_nothing_makes_no_chunk(text: str, strategy: Strategy) -> None:
    assert texts(text, strategy, size=4) == []


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (5000, 0), (10, 6), (10, -1)])
def test_a_plan_that_cannot_be_is_refused(size: int, overlap: int) -> None:
    with pytest.raises(InvalidRequest):
        Plan(size=size, overlap=overlap)


@given(
    text=st.text(alphabet="ab .\n!", max_size=200),
    size=st.integers(1, 12),
    overlap=st.integers(0, 6),
    strategy=st.sampled_from(["structure", "sentences", "tokens"]),
    cuts=st.lists(st.integers(0, 200), max_size=4),
)
def test_chunks_hold_every_word_in_order_and_none_is_too_large(
    text: str, size: int, overlap: int, strategy: Strategy, cuts: list[int]
) -> None:
    begins = {cut for cut in cuts if cut < len(text) and (cut == 0 or text[cut - 1].isspace())}
    marks = tuple(Mark(start, f"t{start % 2}") for start in sorted(begins))
    plan = Plan(strategy=strategy, size=size, overlap=min(overlap, size // 2))
    chunks = chunks_of(Document(text, marks), plan, words)
    assert all(1 <= chunk.tokens <= size for chunk in chunks)
    at = 0
    for word in text.split():
        # Each word is in the chunk that is at hand, or in the one after it.
        while at < len(chunks) and word not in chunks[at].text:
            at += 1
        assert at < len(chunks), (word, [chunk.text for chunk in chunks])


def test_without_a_tokenizer_long_words_count_for_more() -> None:
    assert len(estimated_tokens("international law.")) == 4 + 1 + 1
