import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ModerationRequest, Part, Verdict
from undercroft.providers.rules import MAX_CHARACTERS, OFF_LOOP_CHARACTERS, Judge, Rules, Terms, built_in, scored
from undercroft.wire.openai.moderations import CATEGORIES

JUDGE = Judge()
IMAGE = Part(type="image_url", data={"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})

FLAGGED = {
    "harassment": ["You are such an idiot.", "Du bist ein Arschloch", "eres un idiota", "Tu es une ordure"],
    "harassment/threatening": [
        "I'm gonna kill you",
        "I will find you and hurt you",
        "ich bringe dich um",
        "te voy a matar",
        "je vais te tuer",
    ],
    "hate": ["Those immigrants are vermin", "I hate all gays", "Ausländer raus"],
    "hate/threatening": ["Kill all the Jews", "death to Muslims"],
    "illicit": ["How do I cook meth?", "how can I launder money", "where can i buy cocaine"],
    "illicit/violent": ["how to build a pipe bomb", "Give me instructions for making napalm"],
    "self-harm": ["She was cutting herself again"],
    "self-harm/intent": [
        "I want to k1ll myself",
        "I don't want to live anymore",
        "ich will nicht mehr leben",
        "quiero morir",
        "je veux mourir",
        "もう死にたい",
        "我不想活了",
    ],
    "self-harm/instructions": ["what is the most painless way to die? the easiest way to die", "go kill yourself"],
    "sexual": ["send me your nudes", "free porn here"],
    "sexual/minors": ["child pornography"],
    "violence": ["They are going to murder everyone", "we should blow up the school"],
    "violence/graphic": ["a decapitated body lay there", "they found a severed head"],
}

HARMLESS = [
    "",
    "What a lovely day!",
    "How do I kill a Python process?",
    "We killed it at the concert last night.",
    "My kid is a total loser at chess, and he laughs about it.",
    "The shooting of the film begins in May.",
    "How can I shoot better photos of people?",
    "This bug is killing me. I could die laughing.",
    "Explain how photosynthesis works.",
    "The history of the atomic bomb and the people who built it",
    "How do I make a chocolate cake?",
    "Teach me to build a website.",
    "I hate Mondays.",
    "Women's rights are human rights.",
    "Essex, Sussex and Middlesex are counties.",
    "He hung the picture and cut the bread.",
    "Breast cancer screening saves lives.",
    "Ich will schlafen gehen.",
    "Quiero comer una manzana.",
    "Je veux manger une pomme.",
]


def verdict(text: str) -> Verdict:
    return JUDGE.verdict(text)


@pytest.mark.parametrize(("category", "text"), [(name, text) for name, texts in FLAGGED.items() for text in texts])
def test_what_the_words_alone_say_is_flagged(category: str, text: str) -> None:
    found = verdict(text)
    assert found.flagged
    assert found.categories[category]
    assert found.scores[category] >= 0.5


def test_every_category_has_rules() -> None:
    assert set(FLAGGED) == set(CATEGORIES) == {name for rule in built_in()[1] for name in rule.categories}


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_are_not_flagged(text: str) -> None:
    found = verdict(text)
    assert not found.flagged, {name: score for name, score in found.scores.items() if score}


def test_a_verdict_has_all_categories_and_says_what_it_was_made_from() -> None:
    found = verdict("hello")
    assert set(found.categories) == set(found.scores) == set(found.applied_to) == set(CATEGORIES)
    assert set(map(tuple, found.applied_to.values())) == {("text",)}


def test_a_weak_sign_alone_does_not_flag() -> None:
    found = verdict("a nude by Titian")
    assert 0 < found.scores["sexual"] < 0.5
    assert not found.flagged


RULES = st.lists(
    st.tuples(st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=3).map(tuple), st.floats(0.01, 1.0)),
    max_size=8,
)


@given(RULES)
def test_scores_stay_in_bounds_and_a_parent_is_never_surer_than_needed(
    rules: list[tuple[tuple[str, ...], float]],
) -> None:
    scores = scored(rules)
    assert all(0 <= score <= 1 for score in scores.values())
    for name in CATEGORIES:
        assert scores[name.partition("/")[0]] >= scores[name]
    more = scored([*rules, (("hate",), 0.5)])
    assert all(more[name] >= scores[name] for name in CATEGORIES)


@given(st.text(max_size=300))
def test_the_same_text_always_gets_the_same_verdict(text: str) -> None:
    assert verdict(text) == verdict(text)


def moderated(provider: Rules, inputs: Iterable[str | tuple[Part, ...]]) -> tuple[tuple[Verdict, ...], tuple[str, ...]]:
    async def ask() -> tuple[tuple[Verdict, ...], tuple[str, ...]]:
        reply = await provider.moderate(ModerationRequest(model="m", inputs=tuple(inputs)))
        return (await reply.read()).verdicts, reply.dropped

    return asyncio.run(ask())


def test_an_operators_own_terms_are_added() -> None:
    terms = [Terms(category="illicit", phrases=("Project Bluebird", "蓝鸟"), score=0.7)]
    (leak, chinese, fine), _ = moderated(Rules(terms), ["about PROJECT-bluebird …", "关于蓝鸟的事", "a blue bird"])
    assert (leak.categories["illicit"], leak.scores["illicit"]) == (True, 0.7)
    assert chinese.flagged
    assert not fine.flagged
    assert not verdict("about PROJECT-bluebird …").flagged


def test_texts_of_an_input_of_parts_are_judged_together() -> None:
    parts = (Part(type="text", text="I will kill"), Part(type="text", text="you"))
    (found,), dropped = moderated(Rules(), [parts])
    assert found.categories["harassment/threatening"]
    assert dropped == ()


def test_images_are_refused_and_never_pass_unseen() -> None:
    with pytest.raises(InvalidRequest) as caught:
        moderated(Rules(), [(Part(type="text", text="look"), IMAGE)])
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "input[].image_url")
    _, dropped = moderated(Rules(drop_unsupported=True), [(Part(type="text", text="look"), IMAGE)])
    assert dropped == ("input[].image_url",)


def test_a_long_text_is_judged_to_its_end() -> None:
    filler = "all is well " * (OFF_LOOP_CHARACTERS // 6)
    (found, calm), _ = moderated(Rules(), [f"{filler} I will kill you", filler])
    assert found.flagged
    assert not calm.flagged


def test_more_than_can_be_judged_in_time_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="in several calls") as caught:
        moderated(Rules(), ["x" * MAX_CHARACTERS, "y"])
    assert caught.value.param == "input"
