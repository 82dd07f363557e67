"""YAML from data: whatever goes in comes out of somebody else's parser."""

from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from undercroft.deploy.yaml import Alias, Anchored, Noted, document, documents

WORDS = st.sampled_from(
    ["yes", "No", "null", "~", "1e3", "0x1F", "1:30", "2026-01-01", "-", "a: b", "a #b", "", " ", "*a"]
)
SCALARS = st.none() | st.booleans() | st.integers() | WORDS | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
VALUES = st.recursive(
    SCALARS | st.text("ab \n#:'\"\\"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(SCALARS.filter(lambda key: isinstance(key, str)), inner)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_was_written_is_what_is_read(value: Any) -> None:
    assert pyyaml.safe_load(document(value)) == value


@pytest.mark.parametrize(
    "text", ["\n", "\n\n", "\na\n", "a\n\n", "a \n", "a\n \nb\n", "a\t\n", "a\n b\n\nc\n", "a\u2028b\n", "a\x85b"]
)
def test_text_of_several_lines_comes_back_to_the_last_space(text: str) -> None:
    assert pyyaml.safe_load(document({"key": text, "keys": [text]})) == {"key": text, "keys": [text]}


@pytest.mark.parametrize("code", [0, 0x7F, 0x80, 0xA0, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF, 0x1F600])
def test_a_character_that_is_not_seen_comes_back(code: int) -> None:
    text = f"a{chr(code)}b"
    assert pyyaml.safe_load(document({text: text})) == {text: text}


def test_it_reads_as_somebody_would_write_it() -> None:
    value = {
        "x-environment": Anchored("environment", {"PORT": "8000", "HOST": "0.0.0.0"}),
        "services": {
            "api": {
                "command": ["undercroft", "serve"],
                "environment": Alias("environment"),
                "volumes": Noted("What lasts.\nTwo lines.", [{"type": "volume", "read_only": True}, "a:/b"]),
                "labels": {},
            }
        },
        "script": "first\n  second\n",
    }

    assert (
        document(value)
        == """\
x-environment: &environment
  PORT: "8000"
  HOST: 0.0.0.0
services:
  api:
    command: [undercroft, serve]
    environment: *environment
    # What lasts.
    # Two lines.
    volumes:
      - type: volume
        read_only: true
      - a:/b
    labels: {}
script: |
  first
    second
"""
    )
    assert pyyaml.safe_load(document(value))["services"]["api"]["environment"]["PORT"] == "8000"


def test_a_note_on_the_first_key_of_an_element_stays_above_it() -> None:
    assert document([{"name": Noted("Why.", "api"), "image": "x"}]) == "# Why.\n- name: api\n  image: x\n"


def test_documents_are_parted() -> None:
    assert list(pyyaml.safe_load_all(documents([{"a": 1}, {"b": 2}]))) == [{"a": 1}, {"b": 2}]


def test_what_yaml_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError, match="YAML has no bytes"):
        document({"key": b"bytes"})
