"""The rendered rules in Prometheus' own tools, and in a Prometheus that watches a server whose provider fails."""

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.debian import program
from tests.support.server import SCRIPTED, run, serving

pytestmark = pytest.mark.system

BROKEN = """
[[models]]
name = "broken"
[[models.deployments]]
provider = "openai_compatible"
base_url = "http://127.0.0.1:9/v1"
[slo]
cost_per_request = "0.05"
"""
ALERT = "UndercroftUpstreamFails"
LIMIT_S = 120


def found(name: str) -> Path:
    path = program(name, package="prometheus")
    if path is None:
        pytest.skip(f"not run: {name} is not here, and Debian's package prometheus cannot be fetched")
    return path


def rendered(folder: Path) -> Path:
    made = run(folder, "deploy", "render", "prometheus", "--out", "prometheus", toml=SCRIPTED + BROKEN)
    assert made.exit_code == 0, made.stderr
    (folder / "prometheus" / "metrics-token").write_text("any")
    return folder / "prometheus"


def test_promtool_accepts_the_rules_and_sees_every_alert_fire(tmp_path: Path) -> None:
    promtool, folder = found("promtool"), rendered(tmp_path)
    for command in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "recording.yml", "alerts.yml"),
        ("test", "rules", "tests.yml", "long-tests.yml"),
    ):
        done = subprocess.run([promtool, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


def test_promtool_would_see_an_alert_that_does_not_fire(tmp_path: Path) -> None:
    promtool, folder = found("promtool"), rendered(tmp_path)
    alerts = folder / "alerts.yml"
    alerts.write_text(alerts.read_text().replace("ai_job_queue_age_seconds) > 300", "ai_job_queue_age_seconds) > 3e9"))
    done = subprocess.run([promtool, "test", "rules", "tests.yml"], cwd=folder, capture_output=True, check=False)
    assert done.returncode != 0


@contextmanager
def watching(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([found("prometheus"), *arguments], cwd=folder, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def asked(address: str, path: str) -> Any:
    try:
        with urllib.request.urlopen(f"{address}{path}", timeout=5) as answer:
            return json.load(answer)["data"]
    except (OSError, ValueError):  # it is still starting
        return None


def state(address: str) -> str:
    for group in (asked(address, "/api/v1/rules?type=alert") or {"groups": []})["groups"]:
        for rule in group["rules"]:
            if rule["name"] == ALERT:
                return str(rule["state"])
    return ""


def calls_seen(address: str) -> float:
    query = urllib.parse.quote("sum(ai_api_calls_total)")
    result = (asked(address, f"/api/v1/query?query={query}") or {"result": []})["result"]
    return float(result[0]["value"][1]) if result else 0.0


def test_an_upstream_that_fails_makes_its_alert_fire(tmp_path: Path) -> None:
    found("prometheus")
    folder = rendered(tmp_path)
    with serving(tmp_path, toml=SCRIPTED + BROKEN) as server:
        assert server.chat().status == 200
        configuration = (folder / "prometheus.yml").read_text().replace("15s", "1s")
        (folder / "prometheus.yml").write_text(configuration.replace("localhost:8000", f"127.0.0.1:{server.port}"))
        alerts = (folder / "alerts.yml").read_text()
        (folder / "alerts.yml").write_text(alerts.replace("for: 2m", "for: 3s"))
        with watching(folder) as prometheus:
            seen = []
            deadline = time.monotonic() + LIMIT_S
            while not calls_seen(prometheus) or not state(prometheus):
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.5)
            seen.append(state(prometheus))
            while seen[-1] != "firing":
                assert time.monotonic() < deadline, seen
                server.chat(model="broken")
                time.sleep(0.3)
                if (now := state(prometheus)) != seen[-1]:
                    seen.append(now)
    assert seen[0] == "inactive"
    assert seen[-1] == "firing"
