"""The official openai SDK against a running server: vector stores, their files, batches and searches."""

from collections.abc import Iterator

import openai
import pytest

from tests.support.local_models import weights
from tests.support.server import Server, serving

TIDES = b"# Tides\nThe tide comes in twice a day.\n\n## Cause\nIt is the moon that does it.\n"
ARCHIVE = b"# Archive\nThe archive is closed on Mondays.\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With the bundled models."""
    extra = {"UNDERCROFT_MODELS_DIR": str(weights().folder), "UNDERCROFT_LOCAL__CONTEXT_TOKENS": "4096"}
    with serving(tmp_path_factory.mktemp("vector-stores"), toml="", extra=extra) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=120) as made:
        yield made


@pytest.fixture
def store(client: openai.OpenAI) -> Iterator[str]:
    made = client.vector_stores.create(name="notes", metadata={"for": "tests"})
    yield made.id
    client.vector_stores.delete(made.id)


def upload(client: openai.OpenAI, name: str, content: bytes) -> str:
    return client.files.create(file=(name, content), purpose="assistants").id


def test_files_are_taken_in_and_found(client: openai.OpenAI, store: str) -> None:
    tides, archive = upload(client, "tides.md", TIDES), upload(client, "archive.md", ARCHIVE)
    first = client.vector_stores.files.create_and_poll(
        tides, vector_store_id=store, attributes={"topic": "sea", "year": 1999}
    )
    assert (first.status, first.last_error, first.attributes) == ("completed", None, {"topic": "sea", "year": 1999})
    assert first.usage_bytes > 0
    client.vector_stores.files.create_and_poll(archive, vector_store_id=store)

    page = client.vector_stores.search(store, query="When is the archive closed?", max_num_results=2)
    assert page.data[0].file_id == archive
    assert page.data[0].filename == "archive.md"
    assert "Mondays" in page.data[0].content[0].text
    assert 0 < page.data[1].score <= page.data[0].score <= 1
    filtered = client.vector_stores.search(
        store,
        query=["Mondays", "archive"],
        filters={"type": "and", "filters": [{"type": "gte", "key": "year", "value": 1990}]},
    )
    assert {found.file_id for found in filtered} == {tides}
    assert filtered.data[0].attributes == {"topic": "sea", "year": 1999}
    dense = client.vector_stores.search(store, query="moon", ranking_options={"ranker": "none", "score_threshold": 0.9})
    assert dense.data == []

    shown = client.vector_stores.retrieve(store)
    assert (shown.status, shown.file_counts.completed, shown.file_counts.total) == ("completed", 2, 2)
    assert shown.usage_bytes == sum(file.usage_bytes for file in client.vector_stores.files.list(store))
    text = "".join(part.text or "" for part in client.vector_stores.files.content(tides, vector_store_id=store))
    assert "twice a day" in text
    assert "moon" in text


def test_attributes_are_changed_in_place(client: openai.OpenAI, store: str) -> None:
    tides = upload(client, "tides.md", TIDES)
    client.vector_stores.files.create_and_poll(tides, vector_store_id=store, attributes={"topic": "sea"})
    changed = client.vector_stores.files.update(
        tides, vector_store_id=store, attributes={"topic": "moon", "seen": True}
    )
    assert changed.attributes == {"topic": "moon", "seen": True}

    def found(value: str) -> int:
        where = {"type": "eq", "key": "topic", "value": value}
        return len(client.vector_stores.search(store, query="tide", filters=where).data)  # type: ignore[arg-type]

    assert (found("sea"), found("moon")) == (0, 2)
    assert client.vector_stores.files.retrieve(tides, vector_store_id=store).status == "completed"


def test_a_file_that_is_taken_out_is_not_found(client: openai.OpenAI, store: str) -> None:
    tides = upload(client, "tides.md", TIDES)
    client.vector_stores.files.create_and_poll(tides, vector_store_id=store)
    assert client.vector_stores.files.delete(tides, vector_store_id=store).deleted
    assert client.vector_stores.search(store, query="tide").data == []
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(tides, vector_store_id=store)
    assert client.files.retrieve(tides).id == tides, "the file itself stays"


def test_of_a_batch_a_poisoned_file_fails_alone(client: openai.OpenAI, store: str) -> None:
    good, bad, odd = (
        upload(client, "a.md", TIDES),
        upload(client, "b.pdf", b"%PDF broken"),
        upload(client, "c.exe", b"MZ"),
    )
    batch = client.vector_stores.file_batches.create_and_poll(
        store,
        files=[
            {"file_id": good, "attributes": {"kind": "good"}},
            {"file_id": bad},
            {
                "file_id": odd,
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
                },
            },
        ],
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 2)
    failed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store, filter="failed")
    reasons = {file.id: (file.last_error.code, file.last_error.message) for file in failed if file.last_error}
    assert reasons[bad][0] == "invalid_file"
    assert "PDF" in reasons[bad][1]
    assert reasons[odd][0] == "unsupported_file"
    assert "exe" in reasons[odd][1]
    assert [file.id for file in client.vector_stores.files.list(store, filter="completed")] == [good]
    strategy = client.vector_stores.files.retrieve(odd, vector_store_id=store).chunking_strategy
    assert strategy is not None
    assert strategy.type == "static"
    assert (strategy.static.max_chunk_size_tokens, strategy.static.chunk_overlap_tokens) == (800, 400)
    assert client.vector_stores.search(store, query="tide").data[0].file_id == good


def test_long_chunks_are_taken_though_the_model_takes_less(client: openai.OpenAI, store: str) -> None:
    long = upload(client, "long.txt", b"The sea is wide and deep, and nobody has seen all of it. " * 200)
    file = client.vector_stores.files.create_and_poll(
        long, vector_store_id=store,
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 1200, "chunk_overlap_tokens": 0}},
    )  # fmt: skip
    assert file.status == "completed"
    assert len(client.vector_stores.files.content(long, vector_store_id=store).data) == 3


def test_a_batch_is_cancelled(client: openai.OpenAI, store: str) -> None:
    files = [upload(client, f"{number}.md", TIDES * 40) for number in range(6)]
    batch = client.vector_stores.file_batches.create(store, file_ids=files)
    stopped = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store)
    assert stopped.status == "cancelled"
    assert stopped.file_counts.in_progress == 0
    assert stopped.file_counts.completed + stopped.file_counts.cancelled == 6


def test_a_vector_store_is_changed_listed_and_deleted(client: openai.OpenAI) -> None:
    files = [upload(client, "tides.md", TIDES)]
    made = [client.vector_stores.create(name=f"n{number}", file_ids=files) for number in range(3)]
    assert [each.id for each in client.vector_stores.list(limit=2) if each.name.startswith("n")] == [
        each.id for each in made[::-1]
    ]
    changed = client.vector_stores.update(
        made[0].id, name="other", metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 7}
    )
    assert (changed.name, changed.metadata) == ("other", {"a": "b"})
    assert changed.expires_at == (changed.last_active_at or 0) + 7 * 86_400
    assert client.vector_stores.update(made[0].id, metadata={"c": "d"}).name == "other"
    for each in made:
        assert client.vector_stores.delete(each.id).deleted
        with pytest.raises(openai.NotFoundError) as caught:
            client.vector_stores.retrieve(each.id)
        assert caught.value.code == "unknown_vector_store"


def test_what_is_wrong_is_refused_whole(client: openai.OpenAI, store: str) -> None:
    good = upload(client, "a.md", TIDES)
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.file_batches.create(store, file_ids=[good, "file-none"])
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.files.create(store, file_id=good, attributes={"_generation": "x"})
    assert caught.value.param == "attributes._generation"
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.search(store, query="x", filters={"type": "like", "key": "a", "value": "b"})  # type: ignore[arg-type]
    assert caught.value.param == "filters.type"
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.search(store, query="x", max_num_results=51)
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.search(store, query=" ")
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.files.create(
            store, file_id=good,
            chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}},
        )  # fmt: skip
    assert caught.value.param == "chunking_strategy.static.chunk_overlap_tokens"
    assert client.vector_stores.retrieve(store).file_counts.total == 0


@pytest.fixture(scope="module")
def opening_hours(client: openai.OpenAI) -> Iterator[str]:
    made = client.vector_stores.create(name="hours")
    for name, content in (("tides.md", TIDES), ("archive.md", ARCHIVE)):
        client.vector_stores.files.create_and_poll(upload(client, name, content), vector_store_id=made.id)
    yield made.id
    client.vector_stores.delete(made.id)


def test_an_answer_from_files_cites_them(client: openai.OpenAI, opening_hours: str) -> None:
    answer = client.responses.create(
        model="local",
        input="On which day of the week is the archive closed?",
        tools=[{"type": "file_search", "vector_store_ids": [opening_hours], "max_num_results": 2}],
        include=["file_search_call.results"],
        temperature=0,
    )
    search, message = answer.output
    assert search.type == "file_search_call"
    assert (search.status, search.queries) == ("completed", ["On which day of the week is the archive closed?"])
    assert search.results
    assert search.results[0].filename == "archive.md"
    assert "Monday" in answer.output_text
    assert message.type == "message"
    assert message.content[0].type == "output_text"
    cited = [note for note in message.content[0].annotations if note.type == "file_citation"]
    assert {note.filename for note in cited} == {"archive.md"}
    again = client.responses.create(
        model="local", input="Thank you.", previous_response_id=answer.id, max_output_tokens=8
    )
    assert again.previous_response_id == answer.id


@pytest.mark.parametrize("background", [False, True])
def test_a_streamed_answer_tells_of_its_search_first(
    client: openai.OpenAI, opening_hours: str, *, background: bool
) -> None:
    stream = client.responses.create(
        model="local",
        input="On which day of the week is the archive closed?",
        tools=[{"type": "file_search", "vector_store_ids": [opening_hours], "max_num_results": 1}],
        stream=True,
        background=background,
        temperature=0,
    )
    events = list(stream)
    kinds: list[str] = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for earlier, later in (
        ("response.in_progress", "response.file_search_call.in_progress"),
        ("response.file_search_call.searching", "response.file_search_call.completed"),
        ("response.file_search_call.completed", "response.output_text.delta"),
        ("response.output_text.annotation.added", "response.output_text.done"),
    ):
        assert kinds.index(earlier) < kinds.index(later)
    last = events[-1]
    assert last.type == "response.completed"
    assert [item.type for item in last.response.output] == ["file_search_call", "message"]
    assert last.response.output[0].results is None  # type: ignore[union-attr]  # it is the search
    added = [event for event in events if event.type == "response.output_text.annotation.added"]
    message = last.response.output[1]
    assert message.type == "message"
    notes = message.content[0].annotations  # type: ignore[union-attr]  # it is text
    assert [event.model_dump()["annotation"] for event in added] == [note.model_dump() for note in notes]


def test_a_vector_store_that_nobody_knows_is_not_searched(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(
            model="local", input="x", tools=[{"type": "file_search", "vector_store_ids": ["vs_none"]}]
        )
    assert caught.value.code == "unknown_vector_store"
