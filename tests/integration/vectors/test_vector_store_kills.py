"""kill -9 of a server that takes files in: what was acknowledged is done by the next one, and nothing is seen half."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import openai

from tests.support.local_models import weights
from tests.support.server import Server, serving, until

FILES: Final = 4
PARTS: Final = 70
"""More than are embedded at once, so that a file can be half there."""
WITHIN_S: Final = 150


def book(number: int) -> bytes:
    parts = (f"# Chapter {part}\nIn book {number}, chapter {part} tells of the sea.\n" for part in range(PARTS))
    return "\n".join(parts).encode()


def points(folder: Path) -> int:
    """Rows of the vector store's file, seen or not."""
    found = list(folder.rglob("vectors.db"))
    if not found:
        return 0
    with closing(sqlite3.connect(found[0], timeout=5)) as connection:
        try:
            (count,) = connection.execute("SELECT count(*) FROM points").fetchone()
        except sqlite3.OperationalError:  # it is just being made
            return 0
    return int(count)


def seen(client: openai.OpenAI, store: str) -> Counter[str]:
    """How many chunks are found, by the status that their file has then."""
    found = client.vector_stores.search(store, query="the sea", max_num_results=50)
    files = {file.id: file.status for file in client.vector_stores.files.list(store)}
    return Counter(files[each.file_id] for each in found)


@contextmanager
def running(folder: Path) -> Iterator[tuple[Server, openai.OpenAI]]:
    extra = {"UNDERCROFT_MODELS_DIR": str(weights().folder)}
    with (
        serving(folder, toml="", extra=extra) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60) as client,
    ):
        yield server, client


def handed_in(client: openai.OpenAI) -> tuple[str, list[str]]:
    """A vector store, and the files that it was said to take."""
    store = client.vector_stores.create(name="books").id
    names = [(f"{number}.md", book(number)) for number in range(FILES)]
    files = [client.files.create(file=name, purpose="assistants").id for name in names]
    client.vector_stores.file_batches.create(store, file_ids=files)
    return store, files


def killed_at_work(server: Server, client: openai.OpenAI, store: str, *, before: int) -> None:
    """Once it has written something more, or everything is done."""
    all_of_them = (before, 0) if before < FILES * PARTS else ()
    until(lambda: points(server.folder) not in all_of_them, within_s=WITHIN_S)
    assert set(seen(client, store)) <= {"completed"}
    server.kill()


def test_no_kill_loses_a_file_or_shows_half_of_one(tmp_path: Path) -> None:
    with running(tmp_path) as (server, client):
        store, files = handed_in(client)
        killed_at_work(server, client, store, before=0)
    with running(tmp_path) as (server, client):
        killed_at_work(server, client, store, before=points(tmp_path))
    with running(tmp_path) as (_, client):
        until(lambda: client.vector_stores.retrieve(store).status == "completed", within_s=WITHIN_S)
        told = client.vector_stores.retrieve(store).file_counts
        assert (told.completed, told.total) == (FILES, FILES)
        for file in files:
            assert len(client.vector_stores.files.content(file, vector_store_id=store).data) == PARTS
        assert set(seen(client, store)) == {"completed"}
        assert points(tmp_path) == FILES * PARTS, "what the killed ones left is gone"
