"""`create_app` in programs of the user's own: under plain uvicorn, mounted in FastAPI, with routes beside ours."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.http import ENVELOPE
from tests.support.server import SCRIPTED, Server, environment, ledger_rows, run, started, until
from undercroft import create_app
from undercroft.settings.model import Settings

OWN_ROUTES = """
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from undercroft import create_app

async def hello(request):
    return JSONResponse({"hello": request.path_params["name"]})

async def broken(request):
    raise RuntimeError("a secret of the user's own")

async def half(request):
    async def pieces():
        yield b"half"
        raise RuntimeError("in the middle")
    return StreamingResponse(pieces())

app = create_app(routes=[Route("/hello/{name}", hello), Route("/broken", broken), Route("/half", half)])
"""

OWN_AI_ROUTES = """
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException
from undercroft import agenerate, create_app, generate

router = APIRouter()

@router.post("/summary")
async def summary(text: Annotated[str, Body(embed=True)]) -> dict[str, str]:
    return {"summary": await agenerate(f"Summarize: {text}")}

@router.get("/threaded")
def threaded() -> str:
    return generate("hi")

@router.get("/deadlock")
async def deadlock() -> str:
    return generate("hi")

@router.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, "short and stout")

app = create_app(routes=router.routes)
"""

MOUNTED = """
from fastapi import FastAPI
from undercroft import create_app

app = FastAPI()
app.mount("/ai", create_app())

@app.get("/own")
def own():
    return {"own": True}
"""


@contextmanager
def program(folder: Path, text: str, **extra: str) -> Iterator[Server]:
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(text, encoding="utf-8")
    uvicorn = [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", "0"]
    # uvicorn ends itself with the signal that it was asked to end with.
    with started(folder, uvicorn, extra=extra, exit_code=-signal.SIGTERM) as server:
        yield server


def test_a_module_level_application_serves_its_own_machine_under_uvicorn(tmp_path: Path) -> None:
    with program(tmp_path, OWN_ROUTES) as server:
        assert server.ask("/health").status == 200
        answer = server.chat("hello")
        assert answer.status == 200
        assert answer.request_id
        assert server.chat(stream=True).body.endswith(b"data: [DONE]\n\n")
        own = server.ask("/hello/world")
        assert own.json == {"hello": "world"}
        assert own.request_id
        assert server.ask("/nowhere").error["code"] == "unknown_route"
        assert server.ask("/v1/models", headers={"host": "evil.example"}).status == 421
        assert server.ask("/hello/world", headers={"host": "evil.example"}).status == 421
        assert server.chat(model="nobody").error["code"] == "model_not_found"

        failed = server.ask("/broken")
        assert (failed.status, failed.error["code"]) == (500, "internal_error")
        assert "secret" not in failed.body.decode()
        assert failed.request_id
        assert "RuntimeError: a secret of the user's own" in server.stderr
        with pytest.raises(IncompleteRead):  # one answer, cut: not a second one behind its half
            server.ask("/half")
    assert sorted(row.status for row in ledger_rows(tmp_path)) == [200, 200, 404]


def test_routes_of_ones_own_call_models_through_the_application_that_serves_them(tmp_path: Path) -> None:
    with program(tmp_path, OWN_AI_ROUTES) as server:
        until(lambda: server.ask("/health").status == 200)
        assert server.ask("/summary", json={"text": "long"}).json == {"summary": "One two three four five."}
        assert server.ask("/threaded").json == "One two three four five."
        assert server.ask("/deadlock").status == 500
        assert "await undercroft.agenerate here" in server.stderr
        # No second installation beside the application's: one spool, one database connection, one local model.
        assert len(list((tmp_path / ".undercroft" / "spool").iterdir())) == 1
    assert [row.endpoint for row in ledger_rows(tmp_path)] == ["generate", "generate"]


def test_what_a_framework_refuses_is_told_in_our_envelope(tmp_path: Path) -> None:
    with program(tmp_path, OWN_AI_ROUTES) as server:
        refused = server.ask("/summary", json={})
        assert (refused.status, refused.error["param"]) == (400, "text")
        teapot = server.ask("/teapot")
        assert (teapot.status, teapot.error["message"]) == (418, "short and stout")


def test_with_a_master_key_everyone_who_has_it_is_served(tmp_path: Path) -> None:
    key = "a-master-key-of-more-than-16-characters"
    with program(tmp_path, OWN_ROUTES, UNDERCROFT_MASTER_KEY=key) as server:
        until(lambda: server.ask("/health").status == 200)
        assert server.chat().status == server.ask("/hello/world").status == 401
        assert server.chat(key=key).status == server.ask("/hello/world", key=key).status == 200


def test_mounted_in_a_fastapi_application_it_answers_below_its_path(tmp_path: Path) -> None:
    with program(tmp_path, MOUNTED) as server:
        assert server.ask("/own").json == {"own": True}
        until(lambda: server.ask("/ai/health").status == 200)
        assert server.ask("/ai/v1/models").json["data"][0]["id"] == "chat"
        answer = server.ask("/ai/api/generate?prompt=hi", method="POST")
        assert (answer.status, answer.json["result"]) == (200, "One two three four five.")
        assert server.ask("/ai/api/v1/usage").status == 200
        assert server.ask("/ai/").status == 200
        assert server.ask("/ai/nowhere").error["code"] == "unknown_route"
        assert server.ask("/v1/models").status == 404
    # Nobody told the mounted application that the server ended: the next one finds what it left in the spool.
    usage = msgspec.json.decode(run(tmp_path, "usage", "--json").stdout)
    assert usage["total"]["calls"] == 1


@pytest.mark.parametrize(
    ("peer", "host", "status"),
    [
        ("127.0.0.1", "localhost", 200),
        ("::1", "[::1]:8000", 200),
        ("127.0.0.1", "evil.example", 421),
        ("192.0.2.7", "localhost", 401),
        ("10.0.0.1", "10.0.0.2", 401),
        ("", "localhost", 401),
    ],
)
def test_where_the_bind_is_unknown_only_this_machine_is_let_in(
    tmp_path: Path, peer: str, host: str, status: int
) -> None:
    answer = asyncio.run(_asked(Settings(data_dir=tmp_path), peer, host))
    assert answer["status"] == status
    if status == 401:
        error = msgspec.json.decode(answer["body"])["error"]
        assert set(error) == ENVELOPE
        assert "export UNDERCROFT_MASTER_KEY=" in error["message"]


async def _asked(settings: Settings, peer: str, host: str) -> dict[str, Any]:
    """One GET /v1/models as a server hands it on: some know the client's address, some do not."""
    application = create_app(settings)
    told: dict[str, Any] = {"body": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told["status"] = message.get("status", told.get("status"))
        told["body"] += message.get("body", b"")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/models",
        "query_string": b"",
        "headers": [(b"host", host.encode())],
        "client": (peer, 50_000) if peer else None,
        "server": ("127.0.0.1", 8000),
    }
    try:
        await application(scope, receive, send)
    finally:
        await application.stop()
    return told


def test_making_an_application_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "undercroft.toml").write_text(SCRIPTED, encoding="utf-8")
    create_app()
    assert [path.name for path in tmp_path.iterdir()] == ["undercroft.toml"]


def test_a_program_that_asks_the_bundled_model_ends_in_silence(tmp_path: Path) -> None:
    program = "import undercroft; print(undercroft.generate('hi'))"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip()
