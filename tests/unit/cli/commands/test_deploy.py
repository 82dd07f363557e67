"""`undercroft deploy` as people and programs call it."""

import json
import os
from pathlib import Path

import pytest

from undercroft.cli.main import main
from undercroft.deploy.check import check
from undercroft.deploy.target import BUILT_IN
from undercroft.settings.variables import PLAIN, PLAIN_SECRETS, PROVIDER_KEYS


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder and an environment of its own."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("UNDERCROFT_") or name in (*PLAIN, *PLAIN_SECRETS, *PROVIDER_KEYS):
            monkeypatch.delenv(name)


def render(*options: str, target: str = "docker") -> int:
    return main(["deploy", "render", target, "--out", "out", *options])


def test_render_writes_the_files_and_the_wheel(capsys: pytest.CaptureFixture[str]) -> None:
    assert render() == 0

    assert Path("out/Dockerfile").read_text().startswith("# Made by `undercroft deploy render docker`")
    assert [path.suffix for path in Path("out/vendor").iterdir()] == [".whl"]
    assert "new       out/Dockerfile" in capsys.readouterr().out


def test_with_json_the_files_are_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert render("--json") == 0

    value = json.loads(capsys.readouterr().out)
    assert (value["target"], value["folder"]) == ("docker", "out")
    assert {"path": "Dockerfile", "change": "new"} in value["files"]


def test_diff_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert render("--diff") == 0

    assert not Path("out").exists()
    assert "+++ Dockerfile (rendered)" in capsys.readouterr().out


def test_diff_says_when_nothing_would_change(capsys: pytest.CaptureFixture[str]) -> None:
    render()
    capsys.readouterr()

    assert render("--diff") == 0
    assert capsys.readouterr().out == "nothing would change\n"


def test_an_edited_file_is_exit_code_1_and_stays(capsys: pytest.CaptureFixture[str]) -> None:
    render()
    Path("out/Dockerfile").write_text("FROM mine\n")

    assert render() == 1
    assert "edited by hand" in capsys.readouterr().err
    assert Path("out/Dockerfile").read_text() == "FROM mine\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["render", "dokcer", "--out", "out"], "there is no target 'dokcer'"),
        (["render", "docker"], "--out"),
        (["render", "docker", "--out", "out", "--region", "moon"], "--region takes one of us-east-1, got 'moon'"),
        (["render", "docker", "--out", "out", "--undercroft-source", "x y"], "--undercroft-source takes"),
        (["render", "docker", "--out", "out", "--config", "nowhere.toml"], "nowhere.toml"),
        (["render", "docker", "--out", "out", "--edited", "maybe"], "--edited"),
        (["render", "docker", "--out", "out", "--with-model", "--without-model"], "not allowed with"),
        ([], "ACTION"),
    ],
)
def test_bad_usage_is_exit_code_2_and_writes_nothing(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", *options]) == 2

    assert complaint in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_description_that_cannot_work_is_exit_code_2_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("undercroft.toml").write_text('[deploy]\ndatabase = "sqlite"\n')

    assert render() == 2
    assert "undercroft: undercroft.toml:1: deploy.api.replicas is 3, and a SQLite" in capsys.readouterr().err
    assert not Path("out").exists()


def test_certificates_are_copied_beside_the_wheel() -> None:
    Path("ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    Path("undercroft.toml").write_text('[deploy.build]\nca_file = "ca.pem"\n')

    assert render() == 0
    assert Path("out/vendor/ca.pem").read_text() == "-----BEGIN CERTIFICATE-----\n"


def test_certificates_that_are_not_there_are_missed_before_anything_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("undercroft.toml").write_text('[deploy.build]\nca_file = "ca.pem"\n')

    assert render() == 2
    assert "deploy.build.ca_file: cannot read ca.pem: there is no such file" in capsys.readouterr().err
    assert not Path("out").exists()


def test_rendering_needs_none_of_the_secrets() -> None:
    Path("undercroft.toml").write_text(
        '[server]\nhost = "0.0.0.0"\n[[models]]\nname = "chat"\n'
        '[[models.deployments]]\nprovider = "openai"\napi_key = "env:OPENAI_API_KEY"\n'
    )

    assert render() == 0


def test_check_says_what_it_has_found_and_who_looked(capsys: pytest.CaptureFixture[str]) -> None:
    render(target="compose")
    capsys.readouterr()

    assert main(["deploy", "check", "out"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("ok       own checks\n")
    assert "docker compose config" in shown


def test_check_ends_with_1_where_something_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    render(target="kubernetes")
    deployment = Path("out/base/deployment.yaml")
    deployment.write_text(deployment.read_text().replace("- name: DATABASE_URL", "- name: OTHER"))
    capsys.readouterr()

    assert main(["deploy", "check", "out", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    assert any("has no DATABASE_URL" in each["text"] for each in report["findings"])


def test_compose_makes_its_secrets_once(capsys: pytest.CaptureFixture[str]) -> None:
    render(target="compose")
    before = Path("out/.env").read_text()

    assert render(target="compose") == 0
    assert Path("out/.env").read_text() == before
    assert "stays as it is" in capsys.readouterr().err


def test_an_env_file_that_lacks_a_secret_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/.env").write_text("UNDERCROFT_MASTER_KEY=mine\n")

    assert render(target="compose") == 2
    assert (
        "lacks ENCRYPTION_KEY, POSTGRES_PASSWORD, METRICS_TOKEN, GRAFANA_PASSWORD; add a line"
        in capsys.readouterr().err
    )


def test_a_layout_is_for_compose_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert render("--layout", "monolith", target="kubernetes") == 2
    assert "--layout is for compose, and kubernetes has one layout; leave it out." in capsys.readouterr().err
    assert not Path("out").exists()

    assert render("--layout", "monolith", target="compose") == 0
    assert "CELERY_BROKER_URL" not in Path("out/docker-compose.yml").read_text()


@pytest.mark.parametrize("target", BUILT_IN)
def test_every_target_is_rendered_and_passes_our_own_checks(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert render(target=target) == 0
    rendered = capsys.readouterr().out

    assert f"files for {target};" in rendered
    # In some nothing is looked into, and what a function's image runs as is its host's affair.
    if target not in ("vercel", "grafana", "prometheus", "lambda"):
        report = check(Path("out"), find=lambda name: None)
        assert report.findings == []


def test_all_targets_are_rendered_at_once_a_folder_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert render("--json", target="all") == 0

    told = json.loads(capsys.readouterr().out)["targets"]
    assert {each["target"]: each["folder"] for each in told} == {name: f"out/{name}" for name in BUILT_IN}
    assert Path("out/helm/Chart.yaml").exists()
    assert [path.name for path in Path("out/compose").glob(".env")] == [".env"]
    assert render("--diff", target="all") == 0
    assert capsys.readouterr().out == "nothing would change\n"


def test_of_all_targets_none_is_written_where_one_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    Path("undercroft.toml").write_text("[deploy.gpu]\ncount = 1\n")

    assert render(target="all") == 2
    assert "undercroft: systemd: deploy.gpu.count is 1" in capsys.readouterr().err
    assert not Path("out").exists()


def test_of_all_targets_none_is_written_where_a_file_was_edited(capsys: pytest.CaptureFixture[str]) -> None:
    render(target="all")
    Path("out/systemd/Caddyfile").write_text("mine")
    Path("out/docker/Dockerfile").unlink()

    assert render(target="all") == 1
    assert "Caddyfile in out/systemd: edited by hand" in capsys.readouterr().err
    assert not Path("out/docker/Dockerfile").exists()
    assert render("--diff", target="all") == 0
    assert "+++ docker/Dockerfile (rendered)" in capsys.readouterr().out
