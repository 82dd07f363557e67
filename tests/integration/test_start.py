"""What a server that cannot start says, and with which exit code it ends: before the port opens, and in a line each."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_models import weights
from tests.support.server import SCRIPTED, command, run, serving, started, until


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_taken_port_is_named_with_the_next_one(tmp_path: Path, taken_port: int) -> None:
    done = run(tmp_path, "serve", "--port", str(taken_port), toml=SCRIPTED)
    assert done.exit_code == 1
    assert f"Port {taken_port} on 127.0.0.1 is taken" in done.complaint
    assert f"PORT={taken_port + 1}" in done.complaint


def test_several_workers_refuse_a_taken_port_too(tmp_path: Path, taken_port: int) -> None:
    done = run(tmp_path, "serve", "--workers", "2", "--port", str(taken_port), toml=SCRIPTED)
    assert done.exit_code == 1
    assert "is taken" in done.complaint


def test_an_open_address_without_a_key_is_refused_with_the_line_to_type(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0", toml=SCRIPTED)
    assert done.exit_code == 2
    assert "export UNDERCROFT_MASTER_KEY=" in done.complaint


def test_an_open_address_with_a_key_is_served(tmp_path: Path) -> None:
    extra = {"UNDERCROFT_MASTER_KEY": "a-master-key-of-some-length"}
    with started(tmp_path, _serve("--host", "0.0.0.0"), extra=extra) as server:
        url = f"http://127.0.0.1:{server.port}"
        server.url = url
        until(lambda: server.ask("/health").status == 200)
        assert server.chat().status == 401
        assert server.chat(key="a-master-key-of-some-length").status == 200


@pytest.mark.parametrize(
    ("toml", "extra", "complaints"),
    [
        ("[server]\nprot = 1\n", {}, ["undercroft.toml:2", "server.prot", "did you mean 'server.port'"]),
        ('[server]\nworkers = "x"\n', {}, ["undercroft.toml:2", "server.workers", 'got "x"']),
        ("[server\n", {}, ["undercroft.toml:1"]),
        (SCRIPTED, {"UNDERCROFT_SERVER__PROT": "1"}, ["UNDERCROFT_SERVER__PROT", "UNDERCROFT_SERVER__PORT"]),
        (SCRIPTED, {"UNDERCROFT_SERVER__WORKERS": "many"}, ["UNDERCROFT_SERVER__WORKERS", "many"]),
        ('[local]\nchat_gguf = "none.gguf"\n', {}, ["undercroft.toml:2", "local.chat_gguf", "no such file"]),
        (SCRIPTED, {"CELERY_BROKER_URL": "redis://127.0.0.1/0"}, ["DATABASE_URL"]),
        (SCRIPTED, {"DATABASE_URL": "mysql://127.0.0.1/x"}, ["DATABASE_URL"]),
        ('[[models]]\nname = "a"\n[[models.deployments]]\nprovider = "opnai"\n', {}, ["opnai", "openai"]),
    ],
)
def test_wrong_settings_end_it_with_exit_code_2(
    tmp_path: Path, toml: str, extra: dict[str, str], complaints: list[str]
) -> None:
    done = run(tmp_path, "serve", "--port", "0", toml=toml, extra=extra)
    assert done.exit_code == 2
    for complaint in complaints:
        assert complaint in done.stderr
    assert "listening" not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_database_is_left_alone_and_named(tmp_path: Path) -> None:
    data = tmp_path / ".undercroft"
    data.mkdir(mode=0o700)
    (data / "undercroft.db").write_bytes(b"precious, but no database" * 100)
    with started(tmp_path) as server:
        until(lambda: server.ask("/health").status == 503)
        assert b"is not an SQLite database" in server.ask("/health").body
        assert server.ask("/health/live").status == 200
        assert server.chat().status == 503
    assert (data / "undercroft.db").read_bytes() == b"precious, but no database" * 100


def test_a_data_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".undercroft").write_text("a file")
    with started(tmp_path) as server:
        until(lambda: b"not a folder" in server.ask("/health").body)
        assert server.ask("/health").status == 503
        assert server.chat().status == 503
    assert "Traceback" not in server.stderr


def test_a_damaged_gguf_fails_its_calls_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF" + bytes(1000))
    extra = {"UNDERCROFT_LOCAL__CHAT_GGUF": "own.gguf"}
    with started(tmp_path, toml="", extra=extra) as server:
        until(lambda: b"failed" in server.ask("/health").body)
        assert server.ask("/health").status == 200
        answer = server.chat(model="local")
        assert (answer.status, answer.error["code"]) == (503, "model_unavailable")
        assert "own.gguf" in answer.error["message"]


def test_a_gguf_that_was_cut_short_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(weights().chat.read_bytes()[:1_000_000])
    local = '[[models]]\nname = "own"\n[[models.deployments]]\nprovider = "local"\n'
    toml = f'{SCRIPTED}{local}[local]\nchat_gguf = "own.gguf"\n'
    with started(tmp_path, toml=toml) as server:
        until(lambda: b"own.gguf" in server.ask("/health").body)
        health = server.ask("/health")
        assert (health.status, health.json["status"]) == (200, "degraded")
        assert server.chat().status == 200
        answer = server.chat(model="own")
        assert (answer.status, answer.error["code"]) == (503, "model_unavailable")
        assert "own.gguf" in answer.error["message"]
        assert "Traceback" not in server.stdout + server.stderr


def test_without_weights_it_says_how_to_get_them(tmp_path: Path) -> None:
    elsewhere = (
        "import sys; sys.prefix = '/nowhere'; from undercroft.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    program = [sys.executable, "-c", elsewhere, "serve", "--port", "0"]
    extra = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "UNDERCROFT_MODELS_DIR": ""}
    with started(tmp_path, program, toml="", extra=extra) as server:
        until(lambda: server.ask("/health").status == 200)
        assert "undercroft models pull" in server.stdout
        assert [model["id"] for model in server.ask("/v1/models").json["data"]] == ["local-moderation"]
        answer = server.chat(model="local")
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert "undercroft models pull" in answer.error["message"]
        assert "undercroft models pull" in server.ask("/").body.decode()


def test_two_servers_share_a_data_directory(tmp_path: Path) -> None:
    with serving(tmp_path) as first, started(tmp_path / "other", toml=None, extra=_share(tmp_path)) as second:
        assert first.chat().status == 200
        assert second.chat().status == 200
        until(lambda: len(first.rows()) == 2)


def _serve(*arguments: str) -> list[str]:
    return command("serve", "--port", "0", *arguments)


def _share(folder: Path) -> dict[str, str]:
    return {"UNDERCROFT_CONFIG": str(folder / "undercroft.toml"), "UNDERCROFT_DATA_DIR": str(folder / ".undercroft")}
