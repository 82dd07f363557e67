"""`undercroft vectors`: from a file to an answer, and one clear line with exit code 2 for whatever is wrong."""

import json
from pathlib import Path

import pytest

from undercroft.cli.main import main

LINES = "".join(
    json.dumps({"id": f"p{place}", "vector": [1.0, place], "metadata": {"even": place % 2 == 0}}) + "\n"
    for place in range(6)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.jsonl").write_text(LINES)
    return tmp_path


def test_what_is_imported_is_found_and_copied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "create", "notes", "--dim", "2", "--metric", "euclidean"]) == 0
    assert main(["vectors", "import", "notes", "points.jsonl"]) == 0
    capsys.readouterr()
    even = '{"type": "eq", "key": "even", "value": true}'
    assert main(["vectors", "search", "notes", "--vector", "[1, 5]", "--filter", even, "--limit", "2", "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == ["p4", "p2"]
    assert main(["vectors", "copy", "notes", "--from", "embedded", "--to", "embedded", "--as", "again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"]["points"] == 6
    assert not list((folder / ".undercroft" / "copies").glob("*.json")), "a copy that is good leaves no record"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "no name", "--dim", "2"], "cannot be a collection's name"),
        (["create", "notes", "--dim", "0"], "dimension of 0"),
        (["create", "notes", "--dim", "2", "--tuned", "none.toml"], "holds no index"),
        (["import", "notes", "none.jsonl"], "cannot be read"),
        (["search", "notes", "--vector", "[1, 'x']"], "--vector is no JSON"),
        (["search", "notes", "--vector", "[1]", "--filter", "{"], "--filter is no JSON"),
        (["search", "notes", "--vector", "[1]", "--filter", '{"type": "near"}'], "which is no comparison"),
        (["search", "notes"], "one of the arguments --text --vector is required"),
        (["copy", "notes", "--from", "embedded", "--to", "embedded"], "The copy would be the original"),
        (["copy", "notes", "--from", "embedded", "--to", "nowhere"], "no vector store 'nowhere'"),
        (["copy", "notes", "--from", "pinecone", "--to", "embedded"], "PINECONE_API_KEY"),
        (["compare", "--vectors", "many", "--dim", "2", "--qps", "1"], "write 200000, 200k or 5M"),
        (["compare", "--vectors", "5M", "--dim", "0", "--qps", "1"], "--dim is 0"),
        (["compare", "--vectors", "5M", "--dim", "2", "--qps", "1", "--prices", "none"], "cannot be read"),
        (["compare", "--vectors", "5M", "--dim", "2", "--qps", "1", "--provider", "sun"], "provider"),
        (["compare", "--vectors", "5M", "--dim", "2", "--qps", "1", "--region", "moon"], "region"),
        (["bench", "--data", "none.jsonl"], "cannot be read"),
        (["bench", "--data", "points.jsonl"], "at least 100"),
        (["bench", "--questions", "points.jsonl"], "points of your own"),
        (
            ["bench", "--data", "points.jsonl", "--questions", "points.jsonl"],
            "points.jsonl:1: the line has an unknown key",
        ),
        (["bench", "--stores", "embedded,none"], "no vector store 'none'"),
        (["bench", "--clients", "0"], "write 1,4,16"),
        (["tune", "--recall", "2"], "--recall is 2"),
        (["tune", "--recall", "0.9", "--seconds", "0"], "--seconds is 0"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vectors", *arguments]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not printed.out


def test_a_wrong_line_stops_everything_before_anything_is_stored(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vectors", "create", "notes", "--dim", "2"]) == 0
    (folder / "points.jsonl").write_text(LINES + '{"id": "last"}\n')
    assert main(["vectors", "import", "notes", "points.jsonl"]) == 2
    assert "points.jsonl:7: there is neither a vector nor a text" in capsys.readouterr().err
    assert main(["vectors", "search", "notes", "--vector", "[1, 5]", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_questions_of_ones_own_are_judged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "questions.jsonl").write_text('{"text": "which?", "vector": [1, 5], "relevant": {"p5": 2, "p4": 1}}\n')
    asked = ["--data", "points.jsonl", "--questions", "questions.jsonl", "--seconds", "0.01", "--clients", "1"]
    assert main(["vectors", "bench", *asked, "--metric", "euclidean", "--limit", "2", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    (quality,) = report["quality"]
    assert {name: quality[name] for name in ("mode", "questions", "recall", "ndcg", "mrr")} == {
        "mode": "dense", "questions": 1, "recall": 1.0, "ndcg": 1.0, "mrr": 1.0,
    }  # fmt: skip
    assert main(["vectors", "bench", *asked, "--metric", "euclidean", "--limit", "2"]) == 0
    assert "nDCG@2" in capsys.readouterr().out


def test_a_collection_that_is_not_there_is_said_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "search", "nothing", "--vector", "[1, 5]"]) == 1
    assert "no collection 'nothing'" in capsys.readouterr().err


def test_a_comparison_says_what_it_does_not_know(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "compare", "--vectors", "5M", "--dim", "1536", "--qps", "50", "--json"]) == 0
    rows = {row["store"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["qdrant-cloud"]["usd_month"] is None
    assert all(float(rows[name]["usd_month"]) > 0 for name in ("pinecone", "qdrant", "pgvector", "weaviate"))
    assert rows["qdrant"]["machines"] == 2
    assert all(row["reasons"] and row["risks"] and row["basis"] for row in rows.values())
