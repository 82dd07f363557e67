"""`undercroft vectors ingest` as people type it, and killed in the middle."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.ingestion import docx, pdf
from undercroft.clock import SystemClock
from undercroft.storage.engine import open_database
from undercroft.vectors.filters import Eq
from undercroft.vectors.ingestion import repository
from undercroft.vectors.ingestion.types import GENERATION, Place
from undercroft.vectors.stores.embedded.store import EmbeddedStore

PLACE = Place(organisation="default", collection="notes")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "tides.md").write_text(
        "# Tides\nThe tide comes in twice a day.\n\n## Cause\nIt is the moon that does it.\n"
    )
    (folder / "prices.csv").write_text("item,price\ncopy,ten cents\nmap,two euros\n")
    (folder / "report.docx").write_bytes(docx(("Heading1", "Archive"), ("", "The archive is closed on Mondays.")))
    (folder / "letter.pdf").write_bytes(pdf("The crypt lies under the church."))
    (folder / ".hidden.md").write_text("Nobody should find this.")
    return tmp_path


def command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "undercroft", "vectors", *arguments]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "UNDERCROFT_DATA_DIR": str(home / "data")}


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, *arguments),
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def said(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_files_of_every_kind_are_taken_in_and_found(home: Path) -> None:
    (home / "files" / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    first = run(home, "ingest", "files", "--collection", "notes", "--json")
    assert first.returncode == 1, "one of them is broken"
    rows = {Path(row["path"]).name: row for row in said(first)}
    assert rows.pop("broken.pdf")["status"] == "failed"
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert sorted(rows) == ["letter.pdf", "prices.csv", "report.docx", "tides.md"]

    (hit,) = said(run(home, "search", "notes", "--text", "What does a copy cost?", "--limit", "1", "--json"))
    assert "ten cents" in hit["text"]

    (home / "files" / "broken.pdf").unlink()
    (home / "files" / "tides.md").write_text(
        "# Tides\nThe tide comes in twice a day.\n\n## Cause\nIt is the sun, too.\n"
    )
    again = {
        Path(row["path"]).name: row for row in said(run(home, "ingest", "files", "--collection", "notes", "--json"))
    }
    assert again["letter.pdf"]["status"] == "unchanged"
    assert (again["tides.md"]["status"], again["tides.md"]["chunks"], again["tides.md"]["embedded"]) == (
        "completed",
        2,
        1,
    )

    gone = run(home, "forget", "files/letter.pdf", "--collection", "notes", "--json")
    assert (gone.returncode, said(gone)) == (0, {"forgotten": 1, "missing": []})
    assert "letter.pdf" not in assert_whole(home)


def test_no_kill_leaves_half_a_file_to_be_seen(home: Path) -> None:
    folder = home / "many"
    folder.mkdir()
    for number in range(6):
        parts = (f"# Part {part}\nIn book {number}, chapter {part} tells of the sea.\n" for part in range(90))
        (folder / f"{number}.md").write_text("\n".join(parts))
    killed = 0
    for wait in (0.0, 0.3, 0.8):
        process = subprocess.Popen(
            command(home, "ingest", "many", "--collection", "notes"),
            cwd=home, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        before = points(home)
        while process.poll() is None and points(home) == before:
            time.sleep(0.05)
        time.sleep(wait)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        assert_whole(home)
    assert killed >= 2
    assert run(home, "ingest", "many", "--collection", "notes").returncode == 0
    assert assert_whole(home) == {f"{number}.md": 90 for number in range(6)}
    assert points(home) == 6 * 90, "what the killed ones left is gone"


def points(home: Path) -> int:
    """Rows in the store's file, seen or not."""
    file = home / "data" / "vectors.db"
    if not file.exists():
        return 0
    with contextlib.closing(sqlite3.connect(file, timeout=5)) as connection:
        try:
            (count,) = connection.execute("SELECT count(*) FROM points").fetchone()
        except sqlite3.OperationalError:  # it is just being made
            return 0
    return int(count)


def assert_whole(home: Path) -> dict[str, int]:
    """Every file that is seen has all its chunks. Returns how many those are."""

    async def look() -> dict[str, int]:
        database = open_database(None, data_dir=home / "data", pool_size=1, clock=SystemClock())
        store = EmbeddedStore(home / "data", clock=SystemClock(), is_durable=False, threads=1, keeps_up=False)
        try:
            seen = await database.read(lambda connection: repository.listed(connection, PLACE))
            for known in seen:
                assert await store.count("notes", Eq(GENERATION, known.generation)) == known.chunks
            return {Path(known.source).name: known.chunks for known in seen}
        finally:
            await store.close()
            database.close()

    return asyncio.run(look())
