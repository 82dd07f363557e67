"""What goes through the front door, and where to."""

import fnmatch
import re
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.deploy import described
from undercroft.deploy.targets.caddy import GATEWAY_PATHS, Upstreams, caddyfile

ROUTE = re.compile(r"^\| `[A-Z]+ (?P<path>/[^`]*)`", re.MULTILINE)
OF_THE_GATEWAY = ("/v1/", "/health", "/api/generate", "/api/v1/jobs", "/api/v1/feedback")


def test_the_name_is_the_described_one(tmp_path: Path) -> None:
    text = caddyfile(described(tmp_path, '[deploy]\ndomain = "ai.example.com"\n'), Upstreams("api:8000"))

    assert text.startswith("ai.example.com {\n")
    assert text.count("reverse_proxy api:8000") == 1


def test_streams_go_on_as_they_come(tmp_path: Path) -> None:
    assert "flush_interval -1" in caddyfile(described(tmp_path), Upstreams("api:8000"))


def test_metrics_are_not_for_outside(tmp_path: Path) -> None:
    assert "respond /metrics 404" in caddyfile(described(tmp_path), Upstreams("api:8000"))


def test_with_two_upstreams_what_is_managed_goes_to_the_other(tmp_path: Path) -> None:
    text = caddyfile(described(tmp_path), Upstreams("api:8000", "console:8000"))

    assert text.index("reverse_proxy api:8000") < text.index("reverse_proxy console:8000")


def test_every_route_goes_to_the_role_that_has_it() -> None:
    paths = ROUTE.findall((ROOT / "docs/reference/routes.md").read_text("utf-8"))
    gateway = [path for path in paths if any(fnmatch.fnmatch(path, pattern) for pattern in GATEWAY_PATHS)]

    assert [path for path in paths if path.startswith(OF_THE_GATEWAY)] == gateway
    assert len(paths) - len(gateway) > 20
