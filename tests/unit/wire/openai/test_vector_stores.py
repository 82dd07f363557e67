"""Requests of vector stores: what is read, and what is refused with its place."""

from typing import Any

import msgspec
import pytest

from undercroft.errors import InvalidRequest
from undercroft.wire.openai import vector_stores as wire


def test_files_of_a_batch_are_alike_or_each_its_own() -> None:
    alike = wire.decode_batch(b'{"file_ids": ["a", "b", "a"], "attributes": {"x": 1}}')
    assert [(file.file_id, file.attributes) for file in alike] == [("a", {"x": 1}), ("b", {"x": 1})]
    own = wire.decode_batch(b'{"files": [{"file_id": "a"}, {"file_id": "b", "attributes": {"y": true}}]}')
    assert [(file.file_id, file.attributes) for file in own] == [("a", None), ("b", {"y": True})]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "file_ids"),
        ({"file_ids": []}, "file_ids"),
        ({"file_ids": ["a"], "files": [{"file_id": "a"}]}, "files"),
        ({"files": [{"file_id": "a"}], "attributes": {"a": 1}}, "files"),
        ({"file_ids": ["a"] * 2001}, "file_ids"),
        (
            {"files": [{"file_id": "a"}, {"file_id": "b", "chunking_strategy": {"type": "static", "static": {
                "max_chunk_size_tokens": 100, "chunk_overlap_tokens": 60}}}]},
            "files[1].chunking_strategy.static.chunk_overlap_tokens",
        ),
    ],
)  # fmt: skip
def test_a_batch_that_is_wrong_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        wire.decode_batch(msgspec.json.encode(body))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "attributes",
    [{str(n): 1 for n in range(17)}, {"k" * 65: 1}, {"": 1}, {"k": "v" * 513}, {"k": None}, {"k": [1]}, {"k": {}}],
)
def test_attributes_have_openais_limits(attributes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        wire.decode_attach(msgspec.json.encode({"file_id": "a", "attributes": attributes}))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": []}, "query"),
        ({"query": ["x", " "]}, "query[1]"),
        ({"query": "x", "max_num_results": 0}, "max_num_results"),
        ({"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        ({"query": "x", "filters": []}, "filters"),
        ({}, "query"),
    ],
)
def test_a_search_that_is_wrong_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        wire.decode_search(msgspec.json.encode(body))
    assert caught.value.param == param


def test_chunking_without_files_is_a_mistake() -> None:
    with pytest.raises(InvalidRequest) as caught:
        wire.decode_create(b'{"chunking_strategy": {"type": "auto"}}')
    assert caught.value.param == "chunking_strategy"


def test_what_is_left_out_of_an_update_stays() -> None:
    asked = wire.decode_update(b'{"name": null}')
    assert asked.name is None
    assert asked.metadata is msgspec.UNSET
    assert asked.expires_after is msgspec.UNSET
