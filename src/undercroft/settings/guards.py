"""`[moderation]` and `[guards]`: what prompts and answers are judged by."""

from typing import Annotated, Literal

from pydantic import Field

from undercroft.settings.section import Name, Positive, Section, Text

ModerationCategory = Literal[
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
]
"""OpenAI's, which the built-in rules judge by."""


class ModerationTerms(Section):
    """Phrases of your own that the built-in moderation rules flag."""

    category: ModerationCategory
    """The category they belong to."""
    phrases: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Words in a row; capitals, accents and punctuation make no difference."""
    score: Annotated[float, Field(gt=0, le=1)] = 0.9
    """How sure a find is; from 0.5 it flags."""


class Moderation(Section):
    """`/v1/moderations`."""

    default_model: str | None = None
    """Answers moderations that name no model; default: the first of `[[models]]` that moderates, else the rules."""
    terms: tuple[ModerationTerms, ...] = ()
    """Added to the built-in rules."""


class GuardRule(Section):
    """What is looked for in prompts and answers, and what is done about it."""

    name: Name
    """Of your choice: errors, headers and logs say it."""
    check: Name
    """`pii` (personal data), `names` (of people), `injection` (attempts to give the model other orders), `terms`,
    `size`, `schema` (answers that are no JSON of that shape), or the name of an installed guard."""
    action: Literal["block", "mask", "flag"]
    """`block` refuses the call, `mask` puts `[email]` in place of what was found, `flag` only says so."""
    on: Literal["input", "output", "both"] = "both"
    """Whether prompts, answers or both are looked at."""
    kinds: tuple[Literal["email", "phone", "card", "iban", "ip"], ...] = ()
    """Check `pii` only: what counts; default: all."""
    pipeline: Text | None = None
    """Check `names` only: a pipeline of spaCy's, as the package is called (`en_core_web_sm`) or a folder."""
    terms: tuple[Text, ...] = ()
    """Check `terms` only: words and phrases, in whatever case."""
    max_characters: Positive | None = None
    """Check `size` only: the most that a prompt, or an answer, may have."""
    json_schema: str | None = None
    """Check `schema` only: a JSON Schema (2020-12), as text."""
    keys: tuple[Text, ...] = ()
    """Ids of the keys that it is for; default: all callers."""
    routes: tuple[Text, ...] = ()
    """Routes that it is for, e.g. `/v1/chat/completions`; default: all."""
    models: tuple[Text, ...] = ()
    """Public model names that it is for; default: all."""


class Guards(Section):
    """What may not go to a model, or come from one."""

    rules: tuple[GuardRule, ...] = ()
    """Applied in this order."""
