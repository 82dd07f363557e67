"""Names of people are found by a pipeline of spaCy's; here a small one that is trained for the test."""

import sys
from pathlib import Path

import pytest
import spacy
from spacy.training import Example
from thinc.api import fix_random_seed

from undercroft.errors import ConfigurationError, MissingExtra
from undercroft.guards.guard import Rule, Window, look
from undercroft.guards.names import PeopleNames

SAID = (
    "Please call {} about the order.",
    "I met {} at the library yesterday.",
    "The parcel is for {} and nobody else.",
    "Ask {} where the key is.",
)
PEOPLE = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Edsger Dijkstra", "Barbara Liskov", "Donald Knuth"]
PLACES = ["Please call the office about the order.", "The library is closed today.", "Ask somebody where the key is."]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    fix_random_seed(7)
    language = spacy.blank("en")
    language.add_pipe("ner")
    examples = [
        Example.from_dict(
            language.make_doc(text.format(person)),
            {"entities": [(text.index("{}"), text.index("{}") + len(person), "PERSON")]},
        )
        for text in SAID
        for person in PEOPLE
    ]
    examples += [Example.from_dict(language.make_doc(text), {"entities": []}) for text in PLACES]
    language.initialize(lambda: examples)
    for _ in range(30):
        language.update(examples)
    language.to_disk(folder)
    return folder


def rule(pipeline: Path) -> Rule:
    return Rule(name="people", check=PeopleNames(str(pipeline)), action="mask", sides=frozenset({"input", "output"}))


def test_names_of_people_are_masked(pipeline: Path) -> None:
    looked = look("Please call Barbara Hopper about the order.", [rule(pipeline)], side="input")
    assert looked.text == "Please call [name] about the order."
    assert looked.found == ("people:name",)


def test_where_there_is_none_nothing_is_changed(pipeline: Path) -> None:
    looked = look("The library is closed today.", [rule(pipeline)], side="input")
    assert (looked.text, looked.found) == ("The library is closed today.", ())


def test_a_name_that_comes_in_pieces_is_masked_before_it_is_passed_on(pipeline: Path) -> None:
    window = Window([rule(pipeline)])
    said = "The parcel is for Ada Lovelace and nobody else. " * 4
    passed = "".join(window.take(said[place : place + 5]) for place in range(0, len(said), 5)) + window.end()
    assert "Lovelace" not in passed
    assert passed.count("[name]") == 4


def test_a_pipeline_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(ConfigurationError, match="xx_no_such") as caught:
        PeopleNames("xx_no_such")
    assert "spacy download xx_no_such" in str(caught.value)


def test_a_pipeline_without_names_is_refused(tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path)
    with pytest.raises(ConfigurationError, match="knows of no names"):
        PeopleNames(str(tmp_path))


def test_without_spacy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtra, match="names"):
        PeopleNames("en_core_web_sm")
