"""Rules and dashboards: as they were reviewed, made from what was promised, and with a runbook for every alert."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.support.checkout import ROOT
from tests.support.deploy import compare, described, rendered
from undercroft.deploy.targets.monitoring import rules
from undercroft.deploy.targets.monitoring.dashboards import dashboards
from undercroft.settings.slo import Slo

TARGETS = ("prometheus", "grafana")
STRICT = """
[slo]
availability = 0.99
latency_s = 5
first_token_s = 1
window_days = 7
cost_per_request = "0.02"
"""


@pytest.mark.parametrize("target", TARGETS)
def test_the_files_are_the_reviewed_ones(target: str, tmp_path: Path) -> None:
    compare(target, rendered(target, described(tmp_path)))


def test_thresholds_are_what_was_promised(tmp_path: Path) -> None:
    files = rendered("prometheus", described(tmp_path, STRICT))
    alerts = {rule["alert"]: rule for rule in yaml.safe_load(files["alerts.yml"])["groups"][0]["rules"]}
    recorded = {
        rule["record"]: rule["expr"]
        for group in yaml.safe_load(files["recording.yml"])["groups"]
        for rule in group["rules"]
    }

    assert "> 14.4 * 0.01 " in alerts["UndercroftAvailabilityBudgetBurnsFast"]["expr"]
    assert 'ai_api_latency_seconds_bucket{le="5.0"}' in recorded["ai:slo_latency_bad:ratio_rate5m"]
    assert 'ai_time_to_first_token_seconds_bucket{le="1.0"}' in recorded["ai:slo_first_token_bad:ratio_rate5m"]
    assert recorded["ai:slo_availability_budget_left:ratio"] == "1 - ai:slo_availability_bad:ratio_rate7d / 0.01"
    assert alerts["UndercroftCallsCostTooMuch"]["expr"].endswith("> 0.02")
    assert "UndercroftCallsCostTooMuch" not in rendered("prometheus", described(tmp_path, "[slo]"))["alerts.yml"]


def test_every_alert_has_a_proof_that_fires_it_and_a_runbook(tmp_path: Path) -> None:
    files = rendered("prometheus", described(tmp_path, STRICT))
    alerts = {alert.name for alert in rules.alerts(Slo(cost_per_request="0.02"))}
    proven = {
        test["name"]: test["alert_rule_test"]
        for name in ("tests.yml", "long-tests.yml")
        for test in yaml.safe_load(files[name])["tests"]
    }
    guide = (ROOT / "docs" / "guides" / "monitoring.md").read_text("utf-8")

    assert proven.keys() == alerts
    for quiet, firing in proven.values():
        assert quiet["exp_alerts"] == []
        assert firing["exp_alerts"]
    assert {f"### {name}\n" in guide for name in alerts} == {True}
    assert set(re.findall(r"^### (Undercroft\w+)$", guide, re.MULTILINE)) == alerts


def test_dashboards_are_what_grafana_reads(tmp_path: Path) -> None:
    files = rendered("grafana", described(tmp_path))
    boards = {path: json.loads(text) for path, text in files.items() if path.endswith(".json")}

    assert [Path(path).stem for path in boards] == ["overview", "cost", "models", "jobs", "vectors", "slo"]
    assert len({board["uid"] for board in boards.values()}) == len(boards)
    for board in boards.values():
        covered: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert place["x"] + place["w"] <= 24
            assert covered.isdisjoint(cells), "panels lie over each other"
            covered |= cells
            assert panel["targets"]
    assert len(boards) == len(dashboards(Slo()))


@pytest.mark.parametrize("setting", ["latency_s", "first_token_s"])
def test_a_promise_between_two_buckets_is_refused(setting: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=rf"slo.{setting} takes one of 0.01, .*, 600, got 7"):
        described(tmp_path, f"[slo]\n{setting} = 7")
