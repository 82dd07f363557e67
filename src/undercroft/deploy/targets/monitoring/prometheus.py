"""`prometheus`: what to scrape, what to work out, when to speak up, and the proof that it does."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from undercroft.deploy import yaml
from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets.monitoring import rules
from undercroft.deploy.targets.monitoring.rule import Alert, Recording
from undercroft.deploy.topology import Topology
from undercroft.settings.slo import Slo

RUNBOOK: Final = "docs/guides/monitoring.md"
"""Where each alert has a section of its name."""
TOKEN_FILE: Final = "metrics-token"  # noqa: S105 - a file's name


class Prometheus:
    name = "prometheus"
    summary = "scrape, recording rules, alerts and their tests"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from ()

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        alerts = rules.alerts(topology.slo)
        scraped = configuration([f"localhost:{topology.ports.api}"], token_file=TOKEN_FILE)
        return Bundle(
            {
                "prometheus.yml": made + yaml.document(scraped),
                **rule_files(topology, target=self.name),
                "tests.yml": made + yaml.document(_test_file(alerts, "1m")),
                "long-tests.yml": made + yaml.document(_test_file(alerts, "15m")),
                "README.md": _readme(topology, alerts),
            },
            vendored_at=None,
        )


def rule_files(topology: Topology, *, target: str) -> dict[str, str]:
    """What it works out, and when it speaks up."""
    made = made_by(target)
    return {
        "recording.yml": made + yaml.document(_recording_file(topology.slo)),
        "alerts.yml": made + yaml.document(_alert_file(rules.alerts(topology.slo))),
    }


def configuration(targets: Sequence[str], *, token_file: str) -> dict[str, Any]:
    """`prometheus.yml`: whom it asks, with the token in that file."""
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["recording.yml", "alerts.yml"],
        "scrape_configs": [
            {
                "job_name": rules.JOB,
                "authorization": {"credentials_file": token_file},
                "static_configs": [{"targets": [*targets]}],
            }
        ],
    }


def _recording_file(slo: Slo) -> dict[str, Any]:
    def each(recordings: Sequence[Recording]) -> list[dict[str, str]]:
        return [{"record": recording.name, "expr": recording.expression} for recording in recordings]

    return {
        "groups": [
            {"name": "undercroft-recordings", "rules": each(rules.recordings(slo))},
            {"name": "undercroft-long-recordings", "interval": "5m", "rules": each(rules.long_recordings(slo))},
        ]
    }


def _alert_file(alerts: Sequence[Alert]) -> dict[str, Any]:
    return {"groups": [{"name": "undercroft-alerts", "rules": [_rule(alert) for alert in alerts]}]}


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook": _runbook(alert)},
    }


def _runbook(alert: Alert) -> str:
    return f"{RUNBOOK}#{alert.name.lower()}"


def _test_file(alerts: Sequence[Alert], step: str) -> dict[str, Any]:
    """promtool's: each alert is quiet at the beginning, and fires by the course of events that it is for."""
    return {
        "rule_files": ["recording.yml", "alerts.yml"],
        "evaluation_interval": step,
        "group_eval_order": ["undercroft-recordings", "undercroft-long-recordings", "undercroft-alerts"],
        "tests": [_test(alert) for alert in alerts if alert.proof.step == step],
    }


def _test(alert: Alert) -> dict[str, Any]:
    firing = [
        {
            "exp_labels": {"severity": alert.severity, **labels},
            "exp_annotations": {"summary": alert.summary_of(labels), "runbook": _runbook(alert)},
        }
        for labels in alert.proof.labels
    ]
    return {
        "name": alert.name,
        "interval": alert.proof.step,
        "input_series": [{"series": name, "values": values} for name, values in alert.proof.series.items()],
        "alert_rule_test": [
            {"eval_time": "0m", "alertname": alert.name, "exp_alerts": []},
            {"eval_time": alert.proof.at, "alertname": alert.name, "exp_alerts": firing},
        ],
    }


def _readme(topology: Topology, alerts: Sequence[Alert]) -> str:
    rows = "\n".join(f"| `{alert.name}` | {alert.severity} | {alert.summary} |" for alert in alerts)
    return f"""\
# {topology.name} in Prometheus

{made_by("prometheus", comment="").strip()}

`prometheus.yml` scrapes `localhost:{topology.ports.api}`; write your own addresses, or the service discovery of your
platform, in its place. A scrape of any worker gives the sum over all workers of that server. The token is the one in
`[telemetry] metrics_token` (any text while the server is open to its own machine):

    printf %s "$METRICS_TOKEN" > {TOKEN_FILE}
    promtool check config prometheus.yml
    promtool test rules tests.yml long-tests.yml
    prometheus --config.file=prometheus.yml

Thresholds of the promises are those in `[slo]` of undercroft.toml.

| alert | severity | it says |
| --- | --- | --- |
{rows}
"""
