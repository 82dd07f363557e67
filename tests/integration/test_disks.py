"""A data directory that cannot be written, is full, or holds a damaged database: said in a line, nothing lost."""

import errno
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.keys import opened
from tests.support.server import SERVE, Server, ledger_rows, run, serving, started, until
from undercroft.storage.engine import FILE_NAME

MASTER_KEY = "a-master-key-of-some-length"
WITH_KEY = {"UNDERCROFT_MASTER_KEY": MASTER_KEY}
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


def warnings(server: Server) -> list[str]:
    """What it logged besides calls."""
    return [
        line for line in (server.stdout + server.stderr).splitlines() if re.search(r'"level":"(warning|error)"', line)
    ]


def test_a_read_only_data_directory_is_named_and_refuses_calls(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.chat().status == 200
    namespace = ["unshare", "--mount", "sh", "-c", READ_ONLY, str(tmp_path / ".undercroft")]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a read-only mount needs root")
    with started(tmp_path, [*namespace, *SERVE], extra=WITH_KEY) as server:
        until(lambda: server.ask("/health").status == 503)
        checks = server.ask("/health").json["checks"]
        assert "ead-only" in checks["disk"] + checks["database"]
        assert server.ask("/health/live").status == 200
        answer = server.chat(key=MASTER_KEY)
        assert (answer.status, answer.error["type"]) == (503, "server_error")
        assert "Traceback" not in server.stdout + server.stderr
    assert len(ledger_rows(tmp_path)) == 1
    with serving(tmp_path) as server:
        assert server.chat().status == 200
        until(lambda: len(server.rows()) >= 2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / ".undercroft"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(filler: Path) -> None:
    """Takes all the room there is."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as full:
            if full.errno != errno.ENOSPC:
                raise


def test_a_disk_that_fills_up_refuses_new_spend_and_heals_when_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    with serving(tmp_path) as server:
        answered = [server.chat().request_id]
        until(lambda: len(server.rows()) == 1)
        filler = small_disk / "filler"
        fill(filler)
        refused = 0
        while not refused:
            answer = server.chat(text="x" * 2000, user="y" * 200)
            if answer.status == 200:
                answered.append(answer.request_id)
            else:
                assert (answer.status, answer.error["code"]) == (503, "ledger_unavailable")
                refused += 1
            assert len(answered) < 10_000
        health = server.ask("/health")
        assert health.status == 503
        assert "No space left" in health.json["checks"]["disk"]
        assert server.ask("/health/live").status == 200

        filler.unlink()
        until(lambda: server.chat().status == 200)
        until(lambda: server.ask("/health").status == 200)
        until(lambda: set(answered) <= {row.id for row in server.rows()})
    assert "Traceback" not in server.stdout + server.stderr


def test_a_full_disk_at_the_start_is_named_and_healed_from(tmp_path: Path, small_disk: Path) -> None:
    filler = small_disk / "filler"
    fill(filler)
    with started(tmp_path, extra=WITH_KEY) as server:
        until(lambda: server.ask("/health").status == 503)
        checks = server.ask("/health").json["checks"]
        assert "No space left" in checks["disk"] or "full" in checks["database"]
        assert server.chat(key=MASTER_KEY).status == 503
        filler.unlink()
        until(lambda: server.ask("/health").status == 200)
        assert server.chat(key=MASTER_KEY).status == 200
        assert "Traceback" not in server.stdout + server.stderr


def test_a_damaged_database_is_named_and_calls_wait_in_the_spool_until_it_is_mended(tmp_path: Path) -> None:
    with serving(tmp_path, extra=WITH_KEY) as server:
        for _ in range(50):
            assert server.chat(key=MASTER_KEY).status == 200
    file = tmp_path / ".undercroft" / FILE_NAME
    with opened(tmp_path) as database:  # everything into the one file
        database.read_sync(lambda connection: connection.exec_driver_sql("SELECT 1").all())
    whole = file.read_bytes()
    damaged = whole[:1024] + b"\xa5" * (len(whole) - 1024)
    file.write_bytes(damaged)
    with started(tmp_path, extra=WITH_KEY) as server:
        until(lambda: server.ask("/health").status == 503)
        assert FILE_NAME in server.ask("/health").json["checks"]["database"]
        answer = server.chat(key=MASTER_KEY)
        assert answer.status == 200
        assert "Traceback" not in server.stdout + server.stderr
        assert len(warnings(server)) < 5
    assert file.read_bytes() == damaged, "what is damaged is not made worse"
    refused = run(tmp_path, "usage")
    assert refused.exit_code != 0
    assert FILE_NAME in refused.complaint

    file.write_bytes(whole)
    usage = msgspec.json.decode(run(tmp_path, "usage", "--json").stdout)
    assert usage["total"]["calls"] == 51
    assert answer.request_id in {row.id for row in ledger_rows(tmp_path)}
