"""`undercroft deploy up`, `switch`, `rollback`: real processes, a real port, and what goes wrong with them."""

import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.deployed import Deployed, deployed, other_undercroft, toml, wait_until_ended
from tests.support.server import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="versions side by side need Linux")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Deployed]:
    with deployed(tmp_path) as made:
        yield made


@contextmanager
def kept_alive(host: Deployed) -> Iterator[http.client.HTTPConnection]:
    """A connection that has had an answer, and is open."""
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=30)
    try:
        chat(connection)
        yield connection
    finally:
        connection.close()


def chat(connection: http.client.HTTPConnection) -> str:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return str(json.loads(text)["choices"][0]["message"]["content"])


def test_a_switch_moves_old_and_new_connections_and_a_rollback_brings_them_back(host: Deployed) -> None:
    assert "v1 is up and serves" in host.done("up", settings=toml("one"))
    assert host.chat() == "one"
    assert "is up already" in host.done("up")
    assert "waits for traffic" in host.done("up", settings=toml("two"))
    with kept_alive(host) as connection:
        assert host.chat() == "one"
        assert "v2 has all traffic" in host.done("switch")

        assert host.chat() == "two"
        assert [chat(connection) for _ in range(2)][-1] == "two"  # at the latest, the second is on a new connection
    until(lambda: host.stage("v1") == "stopped", within_s=60)

    assert "v1 has all traffic" in host.done("rollback")
    assert host.chat() == "one"
    assert [(each["name"], each["traffic_percent"]) for each in host.status["versions"]] == [("v1", 100), ("v2", 0)]

    pid = host.pid("v1")
    assert "stopped" in host.done("down")
    wait_until_ended(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", host.port)).close()


def test_versions_outlive_a_killed_host_and_a_new_one_adopts_them(host: Deployed) -> None:
    host.done("up", settings=toml("one"))
    pid = host.pid("v1")
    with kept_alive(host) as connection:
        host.kill_host()
        assert chat(connection) == host.chat() == "one"
    assert not host.is_hosted
    assert "No host runs here" in host.deploy("switch").stderr

    host.done("up", settings=toml("two"))

    assert host.pid("v1") == pid
    assert host.status["host"]
    with kept_alive(host) as connection:
        host.done("switch")
        assert host.chat() == "two"
        assert [chat(connection) for _ in range(2)][-1] == "two"


def test_a_version_that_dies_is_started_again_on_the_same_port(host: Deployed) -> None:
    host.done("up", settings=toml("one"))
    pid = host.pid("v1")

    os.kill(pid, signal.SIGKILL)

    until(lambda: host.pid("v1") != pid and host.stage("v1") == "serving", within_s=120)
    assert host.chat() == "one"


def test_what_does_not_work_is_refused_with_the_reason_and_the_one_that_serves_is_not_touched(host: Deployed) -> None:
    host.done("up", settings=toml("one"))
    pid = host.pid("v1")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        dead = f'deployments = [{{ provider = "openai_compatible", base_url = "{url}" }}]'
        unreachable = toml("two").replace('deployments = [{ provider = "scripted", script = "two" }]', dead)
        refused = host.deploy("up", settings=unreachable)
    assert refused.exit_code == 1
    assert "v2 was not let in: a call is answered 502" in refused.stderr
    assert "v1 goes on as before" in refused.stderr

    elsewhere = host.deploy("up", "--python", "/bin/false", settings=toml("two"))
    assert elsewhere.exit_code == 1
    assert "The database was not migrated" in elsewhere.stderr

    assert (host.pid("v1"), host.chat()) == (pid, "one")
    assert host.stage("v1") == "serving"


def test_a_state_that_was_cut_is_refused_and_what_runs_goes_on(host: Deployed) -> None:
    host.done("up", settings=toml("one"))
    pid = host.pid("v1")
    host.kill_host()
    state = host.home / "state.json"
    whole = state.read_bytes()
    state.write_bytes(whole[: len(whole) // 2])

    for action in ("up", "status"):
        refused = host.deploy(action)
        assert refused.exit_code == 1
        assert "cannot be used: it is cut short" in refused.stderr
    assert host.chat() == "one"

    state.write_bytes(whole)
    host.done("up")
    assert (host.pid("v1"), host.is_hosted) == (pid, True)


def test_a_port_in_use_is_told_and_nothing_is_started(host: Deployed) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", host.port))
        refused = host.deploy("up", settings=toml("one"))

    assert refused.exit_code == 1
    assert f"Port {host.port} on 127.0.0.1 is taken" in refused.stderr
    assert host.status["versions"] == []
    assert "v1 is up" in host.done("up")


def test_versions_share_a_database_that_one_has_expanded_and_none_may_contract(host: Deployed, tmp_path: Path) -> None:
    host.done("up", settings=toml("one"))
    newer = other_undercroft(tmp_path / "newer", {"note": 'op.add_column("calls", sa.Column("note", sa.Text))'})
    host.done("up", "--python", str(newer), settings=toml("two"))
    time.sleep(2.5)  # until the older one has looked at the schema again

    assert host.ask("/health/ready").status == 200
    assert host.chat() == "one"
    schemas = {each["name"]: each["schema"] for each in host.status["versions"]}
    assert schemas["v2"] > schemas["v1"]
    host.done("switch")
    assert host.chat() == "two"
    host.done("rollback")
    assert host.chat() == "one"

    contracting = other_undercroft(
        tmp_path / "contracting",
        {"note": 'op.add_column("calls", sa.Column("note", sa.Text))', "gone": 'op.drop_column("calls", "trace")'},
    )
    refused = host.deploy("up", "--python", str(contracting), settings=toml("three"))
    assert refused.exit_code == 1
    assert f"would break what runs now (schema {schemas['v1']}): drops calls.trace" in refused.stderr
    assert host.chat() == "one"
