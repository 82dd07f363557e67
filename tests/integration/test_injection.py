"""What would be a command, a statement, a template or a path elsewhere is a text here: in every field and header."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count, cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.raw import answers, connected
from tests.support.samples import put, sample, texts_in
from tests.support.server import SCRIPTED, Server, serving, until

MASTER = "a-master-key-of-more-than-16-characters"
PAYLOADS = [
    # Statements.
    "' OR '1'='1", "'; DROP TABLE api_keys; --", '" OR ""="', "1; DELETE FROM calls; --",
    "') UNION SELECT hash FROM api_keys --",
    "x' AND (SELECT count(*) FROM sqlite_master) > 0 --", "'||pg_sleep(9)||'", "1); SELECT pg_sleep(9); --",
    "'; WAITFOR DELAY '0:0:9' --", "%' ESCAPE '!", "\\'; VACUUM; --", "a%_b",
    # Commands.
    "; touch {canary}", "| touch {canary}", "`touch {canary}`", "$(touch {canary})", "&& sleep 9",
    "\n touch {canary}\n",
    "-o{canary}", "--config={canary}",
    # Templates and formats.
    "{{1337*1337}}", "${{1337*1337}}", "{% print 1337*1337 %}", "<%= 1337*1337 %>", "#{1337*1337}",
    "{0.__class__.__mro__}",
    "%(password)s %n%n%n", "__import__('os').system('touch {canary}')", "${jndi:ldap://127.0.0.1:9/x}",
    # Paths.
    "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "....//....//etc/passwd",
    "/etc/passwd\x00.txt", "..\\..\\..\\windows\\win.ini", "C:\\windows\\win.ini", "file:///etc/passwd",
    "\uff0e\uff0e/etc/passwd",
    # Markup, objects, lines.
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>',
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    '{"$gt": ""}', "*)(uid=*))(|(uid=*", "!!python/object/apply:os.system ['touch {canary}']", "x\r\nx-injected: yes",
    "\u202egnp.exe", "\ud7ff\ue000\U0010ffff",
]  # fmt: skip
EACH = 4
"""Payloads for each text of each body; all of them take their turn."""
SLOW_S = 8.0
"""What sleeps for nine seconds somewhere would be seen."""
SKIPPED = {"/api/v1/plans/verify", "/api/v1/plans/simulate", "/v1/files"}
"""They load this machine for as long as they are asked to; files come as forms, below."""
HEADERS = (
    "authorization", "x-api-key", "user-agent", "traceparent", "idempotency-key", "x-undercroft-tags",
    "x-undercroft-region", "x-undercroft-cache-control", "x-forwarded-for", "x-request-id", "origin", "cookie",
    "accept", "content-type", "anthropic-version", "openai-organization", "referer", "x-csrf-token",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("injection")
    with serving(folder, toml=SCRIPTED, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as running:
        until(lambda: running.ask("/health/ready").status == 200)
        yield running


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that nobody has a reason to make."""
    path = tmp_path / "made-by-a-payload"
    yield path
    assert not path.exists(), "a text was run as a command"


def counted(server: Server) -> dict[str, int]:
    """Rows of tables that nothing here removes from."""
    with closing(sqlite3.connect(server.folder / ".undercroft" / "undercroft.db")) as database:
        return {
            name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("api_keys", "organisations", "calls", "audit")
        }


def filled(path: str, text: str) -> str:
    """A path template with the text in place of all that is named."""
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + quote(text, safe="") + rest.partition("}")[2]
    return path


def check(answer: Any, began: float, what: object) -> None:
    took_s = time.monotonic() - began
    shown = answer.body.decode("utf-8", "replace")
    assert answer.status < 500, (what, answer.status, shown[:300])
    assert took_s < SLOW_S, (what, took_s)
    assert str(1337 * 1337) not in shown, (what, "was computed")
    assert "root:" not in shown, (what, "was read")
    assert "x-injected" not in answer.headers, what
    assert "__main__" not in shown or "Traceback" not in shown, what


def test_the_corpus_is_large_and_has_nothing_twice() -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) > 40


def test_a_payload_in_any_text_of_any_body_stays_a_text(server: Server, canary: Path) -> None:
    document = server.ask("/openapi.json", key=MASTER).json
    before, payloads, asked = counted(server), cycle(PAYLOADS), count(1)
    number = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None or path in SKIPPED:
                continue
            body = sample(content["schema"], document)
            for place in texts_in(body):
                for _ in range(EACH):
                    text = next(payloads).replace("{canary}", str(canary))
                    sent = put(body, place, text)
                    if isinstance(sent, dict) and place != ("model",) and "model" in sent:
                        sent["model"] = "chat"
                    began = time.monotonic()
                    answer = server.ask(filled(path, "x"), method=method.upper(), json=sent, key=MASTER)
                    check(answer, began, (method, path, place, text))
                    number = next(asked)
    after = counted(server)
    print(f"{number} bodies")
    assert number > 500
    assert all(after[name] >= before[name] for name in before), (before, after)
    assert server.chat(key=MASTER).status == 200


def test_a_payload_in_any_path_query_or_header_stays_a_text(server: Server, canary: Path) -> None:
    document = server.ask("/openapi.json", key=MASTER).json
    before = counted(server)
    paths = [path for path, item in document["paths"].items() if "get" in item]
    for turn, payload in enumerate(PAYLOADS):
        text = payload.replace("{canary}", str(canary))
        for path in paths[turn % 3 :: 3]:
            named = "".join(
                f"&{each['name']}={quote(text, safe='')}"
                for each in document["paths"][path]["get"].get("parameters", ())
                if each.get("in") == "query"
            )
            began = time.monotonic()
            check(server.ask(f"{filled(path, text)}?x=y{named}", key=MASTER), began, (path, text))
        if text.isprintable() and text.isascii():
            for header in HEADERS:
                began = time.monotonic()
                headers = (
                    {header: text} if header in ("authorization", "x-api-key") else {header: text, "x-api-key": MASTER}
                )
                check(server.ask("/v1/models", headers=headers), began, (header, text))
    assert counted(server)["api_keys"] == before["api_keys"]
    assert server.chat(key=MASTER).status == 200


@pytest.mark.parametrize("name", [each for each in PAYLOADS if "passwd" in each or "win" in each or "touch" in each])
def test_a_files_name_is_a_label_and_never_a_path(server: Server, canary: Path, name: str) -> None:
    given = name.replace("{canary}", str(canary)).replace('"', "'").replace("\x00", "%00").replace("\n", " ")
    before = {path for path in server.folder.rglob("*") if path.is_file()}
    body = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--x\r\n'
    body += b'Content-Disposition: form-data; name="file"; filename="%b"\r\n\r\nwords\r\n--x--\r\n' % given.encode()
    made = server.ask(
        "/v1/files", method="POST", body=body, headers={"content-type": "multipart/form-data; boundary=x"}, key=MASTER
    )
    assert made.status in (200, 400), made
    if made.status == 200:
        assert made.json["id"].startswith("file-")
        assert server.ask(f"/v1/files/{made.json['id']}/content", key=MASTER).body == b"words"
        fresh = {path for path in server.folder.rglob("*") if path.is_file()} - before
        assert all(server.folder / ".undercroft" in path.parents for path in fresh), fresh


@pytest.mark.parametrize(
    "path", ["/v1/files/../../health", "/v1/files/%2e%2e%2f%2e%2e%2fhealth", "/assets/../../../etc/passwd"]
)
def test_a_path_with_dots_leads_nowhere_else(server: Server, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {MASTER}\r\nConnection: close\r\n\r\n"
    with connected(server.port) as wire:
        wire.send(head.encode())
        (answer,) = answers(wire.read_to_end())
    assert answer.status in (400, 404), answer
    assert b"root:" not in answer.body
