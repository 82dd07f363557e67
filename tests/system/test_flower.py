"""Flower, as its users start it, sees the workers and what they were sent."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.checkout import free_port
from tests.support.job_cluster import Cluster, running_cluster
from tests.support.server import environment, until

pytestmark = pytest.mark.system

FLOWER = ("flower==2.0.1", "humanize==4.13.0", "tornado==6.5.2", "pytz==2025.2")
"""With what it needs beside Celery and prometheus-client, which are there."""
START_S = 90
INSTALL_S = 300


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flower")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *FLOWER]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if installed.returncode != 0:
        pytest.skip(f"not run: pip could not install {FLOWER[0]}: {installed.stderr.strip().splitlines()[-1:]}")
    return folder


class Flower:
    """A running one."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}", timeout=30) as answer:
            return msgspec.json.decode(answer.read())

    def answers(self) -> bool:
        try:
            return self.ask("/api/workers?refresh=1") is not None
        except (OSError, urllib.error.URLError):
            return False


@contextmanager
def flower(cluster: Cluster, library: Path) -> Iterator[Flower]:
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "undercroft.worker", "flower", "--address=127.0.0.1"]
    command += [f"--port={port}", "--inspect_timeout=5000"]
    extra = {**cluster.extra, "PYTHONPATH": str(library), "FLOWER_UNAUTHENTICATED_API": "true"}
    with (cluster.folder / "flower.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cluster.folder, env=environment(extra), stdout=log, stderr=log)
    try:
        running = Flower(f"http://127.0.0.1:{port}")

        def is_there() -> bool:
            assert process.poll() is None, (cluster.folder / "flower.log").read_text("utf-8")[-5000:]
            return running.answers()

        until(is_there, within_s=START_S, every_s=0.5)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_flower_sees_the_workers_their_queues_and_their_tasks(library: Path, tmp_path: Path) -> None:
    with running_cluster(tmp_path, "celery") as cluster, flower(cluster, library) as running:
        until(lambda: len(running.ask("/api/workers?refresh=1")) == len(cluster.workers), within_s=START_S, every_s=1)
        workers = running.ask("/api/workers?refresh=1")
        for worker in workers.values():
            assert [queue["name"] for queue in worker["active_queues"]] == ["undercroft.default"]
            assert {"undercroft.deliver", "tasks.process_ai_request"} <= set(worker["registered"])
            assert worker["stats"]["pool"]["implementation"].startswith("celery.concurrency.solo")
            assert worker["conf"]["task_acks_late"] is False

        said = cluster.python(
            "import undercroft\n"
            "result = undercroft.process_ai_request.delay('a very private prompt')\n"
            "print(result.get(timeout=200)); print(result.id)\n"
        ).splitlines()
        until(lambda: said[1] in running.ask("/api/tasks"), within_s=START_S, every_s=1)
        task = running.ask("/api/tasks")[said[1]]
        assert task["name"] == "tasks.process_ai_request"
        assert "very private" not in str(running.ask(f"/api/task/info/{said[1]}")), "prompts have no place there"
        until(lambda: running.ask("/api/tasks")[said[1]]["state"] == "SUCCESS", within_s=START_S, every_s=1)
