import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import ConfigurationError
from undercroft.providers.phrases import GAP_WORDS, PIECE_CHARACTERS, Index, parse, plain_phrase, words_of

LISTS = {"animal": ("cat", "dog")}


def has(pattern: str, text: str) -> bool:
    return bool(Index([parse(pattern, LISTS)]).find(text))


@pytest.mark.parametrize(
    "disguised",
    [
        "kill",
        "KILL",
        "k\u200bi\u00adll",  # a zero-width space and a soft hyphen inside
        "k1ll",
        "k!ll!",
        "ｋｉｌｌ",  # noqa: RUF001
        "kïll",
        "kіll",  # noqa: RUF001 - a Ukrainian i
        "𝓴𝓲𝓵𝓵",  # noqa: RUF001
        "(kill)",
        "_kill_",
    ],
)
def test_a_disguised_word_is_the_word(disguised: str) -> None:
    assert words_of(disguised) == ["kill"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 100 $5 2024", ["1", "100", "$5", "2024"]),
        ("I'm here, don't go!", ["i", "am", "here", "do", "not", "go"]),
        ("Straße Möchte", ["strasse", "mochte"]),
        ("убить", ["убить"]),
        ("死にたい", ["死", "に", "た", "い"]),
        ("skill", ["skill"]),
        ("... !!! '' @", []),
        ("", []),
    ],
)
def test_words_are_read_as_they_are_meant(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_alternatives_lists_options_and_gaps() -> None:
    assert has("a <animal> sat", "So: a DOG sat.")
    assert not has("a <animal> sat", "a bird sat")
    assert has("the (black|<animal>) one?", "the cat")
    assert has("go very? fast", "go fast")
    assert has("go very? fast", "go very fast")
    assert not has("go very? fast", "go very very fast")
    gap = " ".join(["um"] * GAP_WORDS)
    assert has("go * fast", f"go {gap} fast")
    assert not has("go * fast", f"go {gap} um fast")


def test_a_word_is_not_found_inside_another() -> None:
    assert not has("kill", "skill killer overkill")
    assert has("kill", "to kill, or not")


def test_what_runs_over_the_text_end_is_not_found() -> None:
    assert not has("one two three", "one two")
    assert has("one two three?", "one two")


@pytest.mark.parametrize(
    "pattern", ["", "* cat", "cat? dog", "<nothing> cat", "(a b|c)", "a (b", "<animal", "a | b", "()", "(a|)"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        parse(pattern, LISTS)


def test_a_plain_phrase_has_no_signs() -> None:
    index = Index([plain_phrase("Project (Blue|Bird)?"), plain_phrase("我想死")])
    assert index.find("the project: blue bird!") == {0}
    assert index.find("今天我想死了") == {1}
    assert index.find("project blue") == set()


@pytest.mark.parametrize("before", range(PIECE_CHARACTERS - 12, PIECE_CHARACTERS + 12, 3))
def test_a_phrase_across_the_border_of_two_pieces_is_found(before: int) -> None:
    filler = ("word " * PIECE_CHARACTERS)[:before]
    assert Index([parse("one two * four", LISTS)]).find(f"{filler} one two three four {filler}") == {0}


@given(st.text(max_size=200))
def test_any_text_is_words_and_reading_them_again_changes_nothing(text: str) -> None:
    words = words_of(text)
    assert all(word and word == word.casefold() for word in words)
    assert words_of(" ".join(words)) == words or any(not word.isascii() for word in words)


PATTERNS = [
    "a a a a a a a a b",
    "a * a * a * a * b",
    "a a? a? a? a? a? a? a? b",
    "(a|b) * (a|b)? * (a|b)? * c",
]


@pytest.mark.parametrize("text", ["a " * 20_000, "a b " * 10_000, "a" * 40_000, "! " * 20_000, "á " * 20_000])
def test_time_grows_with_the_text_and_not_with_its_malice(text: str) -> None:
    """A backtracking search would take longer than the universe has existed; this takes about 1 s on a slow core."""
    index = Index([parse(pattern, LISTS) for pattern in PATTERNS])
    begun = time.perf_counter()
    index.find(text)
    assert time.perf_counter() - begun < 30


def test_what_is_found_does_not_depend_on_what_else_is_looked_for() -> None:
    rng = random.Random(1)
    patterns = [" ".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(30)]
    together = Index([parse(pattern, LISTS) for pattern in patterns])
    for _ in range(100):
        text = " ".join(rng.choices("abcd", k=12))
        alone = {number for number, pattern in enumerate(patterns) if has(pattern, text)}
        assert together.find(text) == alone == {n for n, p in enumerate(patterns) if f" {p} " in f" {text} "}
