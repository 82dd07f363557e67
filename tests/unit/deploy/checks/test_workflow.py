"""What is said about a workflow that somebody has edited."""

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker
from undercroft.deploy.targets.github_actions import CHECKOUT, WORKFLOW


def test_what_we_render_has_nothing_wrong_with_it(checked: Checker) -> None:
    assert checked("github-actions").findings == []


@pytest.mark.parametrize(
    ("change", "severity", "text"),
    [
        ((WORKFLOW, "needs: [evaluate, build]", "needs: [evaluation]"), "error", "there is no job 'evaluation'"),
        ((WORKFLOW, CHECKOUT, "actions/checkout@v4"), "error", "pin it by commit"),
        ((WORKFLOW, "id: green", "id: gren"), "error", "refers to step 'green'"),
        ((WORKFLOW, 'KUBECONFIG_TEXT: "${{ secrets.KUBECONFIG }}"', "ADMIN_TOKEN: abc"), "error", "in clear text"),
        ((WORKFLOW, "undercroft config check", "echo ${{ github.event.head_commit.message }}"), "error", "a stranger"),
        ((WORKFLOW, "permissions:\n  contents: read\n", ""), "warning", "write permissions"),
        ((WORKFLOW, "timeout-minutes: 45\n    ", ""), "warning", "may hang for six hours"),
        ((WORKFLOW, "\njobs:\n", "\njbos:\n"), "error", "is no workflow"),
    ],
)
def test_what_is_wrong_is_said(checked: Checker, change: Change, severity: str, text: str) -> None:
    found = [each for each in checked("github-actions", change).findings if text in each.text]

    assert {(each.severity, each.file) for each in found} == {(severity, WORKFLOW)}
