"""Terraform for AWS: as it was reviewed, and what must hold whatever is described."""

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.support.deploy import compare, described, rendered
from undercroft.deploy import static
from undercroft.deploy.target import find
from undercroft.deploy.targets.terraform_aws import SIZES, size
from undercroft.deploy.topology import Process

MODULE = {path: text for path, text in static.texts("terraform-aws").items() if path.endswith(".tf")}


def values(folder: Path, text: str = "") -> Any:
    return json.loads(rendered("terraform-aws", described(folder, text))["undercroft.auto.tfvars.json"])


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("terraform-aws", rendered("terraform-aws", described(tmp_path)))


@pytest.mark.parametrize("path", MODULE)
def test_a_file_is_hcl(path: str) -> None:
    assert hcl2.load(StringIO(MODULE[path]))


def test_what_is_described_is_what_the_variables_take(tmp_path: Path) -> None:
    declared = {*re.findall(r'^variable "(\w+)"', MODULE["variables.tf"], re.MULTILINE)}
    asked = {"domain", "zone", "alert_email", "monthly_budget_usd"}
    optional = {"cidr", "database", "redis_node", "nat_per_zone", "log_days", "secret_version"}

    assert values(tmp_path).keys() == declared - asked - optional
    assert values(tmp_path, '[deploy]\ndomain = "ai.example.com"\n')["domain"] == "ai.example.com"


def test_what_only_the_reader_knows_is_in_the_readme(tmp_path: Path) -> None:
    readme = rendered("terraform-aws", described(tmp_path))["README.md"]

    for name in ("domain", "zone", "alert_email", "monthly_budget_usd"):
        assert re.search(rf"^    {name} +=", readme, re.MULTILINE), name


def test_no_secret_is_in_the_state() -> None:
    whole = "\n".join(MODULE.values())

    assert not re.search(r'resource "random_password"|\bsecret_string +=|\bpassword +=', whole)
    assert len(re.findall(r"\bsecret_string_wo +=", whole)) == 5


def test_nothing_but_the_door_is_open_to_the_world() -> None:
    rules = re.findall(
        r'resource "aws_vpc_security_group_ingress_rule" "(\w+)" \{(.*?)\n\}', MODULE["firewall.tf"], re.DOTALL
    )

    assert [name for name, body in rules if "0.0.0.0/0" in body] == ["web"]


@pytest.mark.parametrize(
    ("cpu_milli", "memory_mib", "found"),
    [(1000, 1024, (1024, 2048)), (500, 512, (512, 1024)), (250, 4096, (512, 4096)), (16000, 131072, None)],
)
def test_the_smallest_size_that_holds_both_is_taken(
    cpu_milli: int, memory_mib: int, found: tuple[int, int] | None
) -> None:
    process = Process(1, 1, cpu_milli, cpu_milli, memory_mib, memory_mib)

    assert size(process) == found


def test_sizes_are_from_small_to_large() -> None:
    assert [cpu for cpu, _ in SIZES] == sorted(cpu for cpu, _ in SIZES)
    assert all(list(memories) == sorted(memories) for _, memories in SIZES)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ('[deploy]\nregions = ["westeurope"]\n', "deploy.regions[0]"),
        (f'[deploy]\nname = "{"a" * 30}"\n', "deploy.name"),
        ('[deploy.api]\nmemory_limit = "200Gi"\n', "deploy.api"),
    ],
)
def test_what_aws_does_not_have_is_refused(text: str, setting: str, tmp_path: Path) -> None:
    assert [problem.split()[0] for problem in find("terraform-aws").problems(described(tmp_path, text))] == [setting]
