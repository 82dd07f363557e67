"""Rules and dashboards refer to nothing that a running server does not show."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.promql import grouping, references
from tests.support.server import SCRIPTED, Server, run, serving, until

BROKEN = """
[[models]]
name = "broken"
[[models.deployments]]
provider = "openai_compatible"
base_url = "http://127.0.0.1:9/v1"
"""
OF_PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus adds by itself."""
OF_A_SCRAPE = {"instance", "job"}
SUFFIXES = ("_bucket", "_count", "_sum")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("monitored")
    with serving(folder, toml=SCRIPTED + BROKEN + '[slo]\ncost_per_request = "0.05"\n') as running:
        yield running


def labels_of(server: Server) -> dict[str, set[str]]:
    """Labels by series, as Prometheus would read them."""
    found: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(server.ask("/metrics").body.decode()):
        for sample in family.samples:
            found[sample.name] |= sample.labels.keys()
    return found


def declared() -> dict[str, set[str]]:
    """The same for all that is declared, whether or not it has happened yet."""
    from tests.docs.conftest import module_of

    found: dict[str, set[str]] = {}
    for metric in module_of("scripts/reference.py").assembled().metrics:
        labels = set(metric.labels)
        names = [metric.name + suffix for suffix in SUFFIXES] if metric.kind == "histogram" else [metric.name]
        found |= {name: labels | ({"le"} if name.endswith("_bucket") else set()) for name in names}
    return found


def expressions(folder: Path) -> Iterator[str]:
    for name in ("recording.yml", "alerts.yml"):
        for group in yaml.safe_load((folder / "prometheus" / name).read_text())["groups"]:
            yield from (rule["expr"] for rule in group["rules"])
    for board in sorted((folder / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(board.read_text())["panels"]:
            yield from (target["expr"] for target in panel["targets"])


def recorded(folder: Path) -> dict[str, Any]:
    groups = yaml.safe_load((folder / "prometheus" / "recording.yml").read_text())["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


def test_every_name_and_label_is_one_that_a_server_shows(server: Server) -> None:
    for target in ("prometheus", "grafana"):
        made = run(server.folder, "deploy", "render", target, "--out", target)
        assert made.exit_code == 0, made.stderr
    assert server.chat().status == 200
    assert server.chat(stream=True).status == 200
    assert server.chat(model="broken").status == 502
    job = server.ask("/api/v1/jobs", json={"kind": "generate", "input": {"prompt": "hi"}}).json
    until(lambda: server.ask(f"/api/v1/jobs/{job['id']}").json["status"] == "succeeded")
    shown, known = labels_of(server), declared()
    for name, labels in shown.items():
        if not name.startswith("process_start"):
            assert labels <= known[name], name
    check(server.folder, shown=shown, known=known)


def check(folder: Path, *, shown: Mapping[str, set[str]], known: Mapping[str, set[str]]) -> None:
    rules = recorded(folder)
    series = set()
    for expression in expressions(folder):
        for name, matched in references(expression):
            if name in rules:
                assert matched <= grouping(rules[name]), f"{name} has no {matched}"
                continue
            available = OF_PROMETHEUS.get(name) or known[name]
            assert matched <= available | OF_A_SCRAPE, f"{name} has no {matched - available}"
            series.add(name)
        reachable = set().union(*(_labels(name, rules, known) for name, _ in references(expression)))
        assert grouping(expression) <= reachable | OF_A_SCRAPE, expression
    assert len(series) > 30
    assert len(series & shown.keys()) > 20, "most of them can be seen on a server that has answered a few calls"


def _labels(name: str, rules: Mapping[str, str], known: Mapping[str, set[str]]) -> set[str]:
    if name in rules:
        return set(grouping(rules[name]))
    return OF_PROMETHEUS.get(name) or known[name]
