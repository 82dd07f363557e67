"""What a ModerationProvider owes."""

import asyncio

from undercroft.llm.types import ModerationRequest
from undercroft.testing.providers.asking import answer_of, expect
from undercroft.testing.providers.subject import Subject


async def every_input_gets_a_verdict_in_order(subject: Subject) -> None:
    inputs = ("What a lovely day.", subject.flagged, "Two and two is four.")
    verdicts = (await answer_of(subject, ModerationRequest(model=subject.model, inputs=inputs))).verdicts
    expect(len(verdicts) == len(inputs), f"{len(verdicts)} verdicts for {len(inputs)} inputs")
    expect([verdict.flagged for verdict in verdicts] == [False, True, False], f"the verdicts are {verdicts}")


async def a_verdict_is_made_of_categories_and_scores(subject: Subject) -> None:
    request = ModerationRequest(model=subject.model, inputs=(subject.flagged,))
    (verdict,) = (await answer_of(subject, request)).verdicts
    expect(verdict.categories != {}, "no categories")
    expect(set(verdict.categories) <= set(verdict.scores), f"a category has no score: {verdict}")
    expect(all(0.0 <= score <= 1.0 for score in verdict.scores.values()), f"scores are {verdict.scores}")
    expect(verdict.flagged == any(verdict.categories.values()), f"flagged is {verdict.flagged} for {verdict}")


async def the_same_text_gets_the_same_verdict(subject: Subject) -> None:
    request = ModerationRequest(model=subject.model, inputs=(subject.flagged,))
    answers = await asyncio.gather(*(answer_of(subject, request) for _ in range(4)))
    expect(all(answer.verdicts == answers[0].verdicts for answer in answers), "the same text got different verdicts")
