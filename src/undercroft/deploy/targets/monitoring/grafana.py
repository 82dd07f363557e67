"""`grafana`: dashboards and their provisioning."""

import json
from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy import yaml
from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets.monitoring.dashboards import dashboards
from undercroft.deploy.targets.monitoring.panel import Dashboard, Panel
from undercroft.deploy.topology import Topology

SCHEMA_VERSION: Final = 39
"""Of dashboards, as Grafana 11 writes them; later ones bring it up to date by themselves."""
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
WIDTH: Final = 24
HEIGHT: Final = 8
_TO_THE_OTHERS: Final = {
    "type": "dashboards",
    "tags": ["undercroft"],
    "title": "undercroft",
    "icon": "",
    "tooltip": "",
    "asDropdown": True,
    "targetBlank": False,
    "includeVars": True,
    "keepTime": True,
}
"""Whoever goes from one dashboard to another goes on looking at the same hours."""


class Grafana:
    name = "grafana"
    summary = "dashboards over what the target prometheus works out"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from ()

    def render(self, topology: Topology, /) -> Bundle:
        files = provisioned_files(topology, target=self.name, prometheus_url="http://localhost:9090")
        return Bundle({**files, "README.md": _readme(topology.name, dashboards(topology.slo))}, vendored_at=None)


def provisioned_files(topology: Topology, *, target: str, prometheus_url: str) -> dict[str, str]:
    """The dashboards, and what makes Grafana load them over the Prometheus at that address."""
    made = made_by(target)
    files = {
        f"dashboards/{each.key}.json": _text(_dashboard(topology.name, each, target=target))
        for each in dashboards(topology.slo)
    }
    files["provisioning/dashboards/undercroft.yml"] = made + yaml.document(_provider())
    files["provisioning/datasources/undercroft.yml"] = made + yaml.document(_source(prometheus_url))
    return files


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _dashboard(name: str, described: Dashboard, *, target: str) -> dict[str, Any]:
    return {
        "uid": f"{name}-{described.key}"[:40],
        "title": f"{name}: {described.title}",
        "description": made_by(target, comment="").strip(),
        "tags": ["undercroft"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "links": [_TO_THE_OTHERS],
        "panels": list(_panels(described)),
    }


def _panels(described: Dashboard) -> Iterator[dict[str, Any]]:
    """From left to right, in rows: small ones four to a row, large ones two."""
    x = y = 0
    height = 0
    for number, panel in enumerate(described.panels, start=1):
        width, own = (6, HEIGHT // 2) if panel.kind == "stat" else (12, HEIGHT)
        if x + width > WIDTH or (height and own != height):
            x, y = 0, y + height
        height = own
        yield _panel(number, panel, {"x": x, "y": y, "w": width, "h": own})
        x += width


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    limits = {"min": 0, "max": 1} if panel.kind == "gauge" else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": _UNITS.get(panel.unit, panel.unit), **limits}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": SOURCE,
                "expr": line.expression,
                "legendFormat": line.legend or panel.title,
            }
            for position, line in enumerate(panel.lines)
        ],
    }


_UNITS: Final = {"tokens": "short"}
"""What Grafana has no unit for."""


def _provider() -> dict[str, Any]:
    options = {"path": "/var/lib/grafana/dashboards/undercroft"}
    return {"apiVersion": 1, "providers": [{"name": "undercroft", "type": "file", "options": options}]}


def _source(prometheus_url: str) -> dict[str, Any]:
    source = {"name": "Prometheus", "type": "prometheus", "access": "proxy", "url": prometheus_url}
    return {"apiVersion": 1, "datasources": [source]}


def _readme(name: str, described: list[Dashboard]) -> str:
    rows = "\n".join(f"| `dashboards/{each.key}.json` | {each.title} | {len(each.panels)} |" for each in described)
    return f"""\
# {name} in Grafana

{made_by("grafana", comment="").strip()}

Copy `dashboards/` to `/var/lib/grafana/dashboards/undercroft` and `provisioning/` to `/etc/grafana/provisioning`, or
import the files by hand. They show what the target `prometheus` records: load its rules first
(`undercroft deploy render prometheus`). `provisioning/datasources` names a Prometheus on the same machine; leave it out
where Grafana knows one.

| file | dashboard | panels |
| --- | --- | --- |
{rows}
"""
