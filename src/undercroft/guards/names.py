"""Names of people, by a model of language: a pipeline of spaCy's that the operator has installed."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from undercroft.errors import ConfigurationError, MissingExtra
from undercroft.guards.types import Find

LONGEST: Final = 128
LABELS: Final = frozenset({"PERSON", "PER"})
"""What pipelines call people: those trained on OntoNotes, and those trained on WikiNER."""
_ELSE: Final = ["tagger", "parser", "senter", "lemmatizer", "attribute_ruler", "textcat"]
"""Left out where a pipeline has them: names need none of it, and it takes most of the time."""
_KEPT: Final = 8
"""Finds of the last texts: one piece of a stream is looked at several times."""


class PeopleNames:
    """A Check for names of people.

    It is a statistical model's opinion: some are missed, and some are none. Takes one to two milliseconds for a hundred
    characters. Raises MissingExtra without spaCy, and ConfigurationError for a pipeline that is not there or knows of
    no names.
    """

    longest = LONGEST

    def __init__(self, pipeline: str) -> None:
        """`pipeline` is the name of an installed package, or a folder."""
        try:
            import spacy
        except ImportError as error:
            raise MissingExtra("A guard with check = 'names'", extra="names") from error
        try:
            self._pipeline: Any = spacy.load(pipeline, exclude=_ELSE)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The guard's pipeline {pipeline!r} cannot be loaded: {str(error).splitlines()[0]}",
                hint=f"Install it (`python -m spacy download {pipeline}`), or name a folder that holds one.",
            ) from error
        if not any(LABELS & set(labels) for labels in self._pipeline.pipe_labels.values()):
            raise ConfigurationError(f"The guard's pipeline {pipeline!r} knows of no names of people.")
        self.find = lru_cache(_KEPT)(self._find)

    def _find(self, text: str, /) -> Sequence[Find]:
        people = [entity for entity in self._pipeline(text).ents if entity.label_ in LABELS]
        return [
            Find(entity.start_char, entity.end_char, "name")
            for entity in people
            if entity.end_char - entity.start_char <= LONGEST
        ]
