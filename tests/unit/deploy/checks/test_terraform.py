"""What is said about a module that somebody has edited."""

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker


def test_what_we_render_has_nothing_wrong_with_it(checked: Checker) -> None:
    assert checked("terraform-aws").findings == []


@pytest.mark.parametrize(
    ("change", "where", "text"),
    [
        (("network.tf", "aws_vpc.this.id", "aws_vpc.main.id"), "network.tf", "is described nowhere"),
        (("door.tf", "data.aws_route53_zone.this", "data.aws_route53_zone.that"), "door.tf", "is described nowhere"),
        (("door.tf", "var.domain", "var.host"), "door.tf", "is declared nowhere"),
        (("door.tf", "local.port", "local.prot"), "door.tf", "is declared nowhere"),
        (("outputs.tf", "}\n", "\n"), "outputs.tf", "opens more braces"),
        (("containers.tf", "= var.log_days", "= 30"), "variables.tf", "is used nowhere"),
        (("undercroft.auto.tfvars.json", '"region"', '"regoin"'), "undercroft.auto.tfvars.json", "is no variable"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(checked: Checker, change: Change, where: str, text: str) -> None:
    found = [each for each in checked("terraform-aws", change).findings if text in each.text]

    assert {each.file for each in found} == {where}
