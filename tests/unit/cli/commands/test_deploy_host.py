"""`undercroft deploy up`, `switch`, `rollback`, `status`, `down` as typed; versions themselves: tests/integration."""

import json
import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from undercroft.cli.main import main
from undercroft.hosting.statefile import NAME, save
from undercroft.hosting.types import Move, Rollout, State, Version
from undercroft.settings.variables import PLAIN, PLAIN_SECRETS, PROVIDER_KEYS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="versions side by side need Linux")

STATE = State(host="127.0.0.1", port=8000, lanes=20, directory="/srv", active="v1").put(
    Version(name="v1", python="/usr/bin/python3", stage="serving", undercroft="1.0")
)

KUBECTL = """
import json, pathlib, sys
place = pathlib.Path(__file__).with_name("cluster.json")
cluster = json.loads(place.read_text())
words = sys.argv[1:]
cluster["said"].append(words)
if "patch" in words:
    cluster["selector"] |= json.loads(words[-1])["spec"]["selector"]
place.write_text(json.dumps(cluster))
LABEL = "undercroft.dev/colour"
def pod(colour):
    return {"metadata": {"name": f"pod-{colour}", "namespace": "ai"},
            "spec": {"containers": [{"ports": [{"containerPort": 8000}]}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
def deployment(colour):
    labels = {"app": "ai-api", LABEL: colour}
    return {"metadata": {"name": f"api-{colour}"}, "spec": {"template": {"metadata": {"labels": labels}}}}
asked = words[words.index("get") + 1] if "get" in words else ""
colour = "green" if "green" in " ".join(words) else "blue"
answers = {"service": {"spec": {"selector": cluster["selector"]}}, "deployments": {"items": [deployment(colour)]},
           "pods": {"items": [pod(colour)]}, "pod": pod(colour), "--raw": {"status": cluster["health"]},
           "endpointslices": {"items": [{"endpoints": [{"conditions": {"ready": True}}]}]}}
print(json.dumps(answers.get(asked, {})))
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder and an environment of its own."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("UNDERCROFT_") or name in (*PLAIN, *PLAIN_SECRETS, *PROVIDER_KEYS):
            monkeypatch.delenv(name)


def deploy_folder() -> Path:
    folder = Path(".undercroft/deploy")
    folder.mkdir(parents=True)
    return folder


def test_status_says_what_to_type_where_nothing_is_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "status"]) == 0
    assert capsys.readouterr().out == "Nothing is up here. Type: undercroft deploy up\n"
    assert main(["deploy", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"host": False, "versions": []}


def test_status_without_a_host_is_what_it_has_left(capsys: pytest.CaptureFixture[str]) -> None:
    move = Move(source="v1", target="v2", rollout=Rollout(steps=(25, 100)))
    save(deploy_folder(), replace(STATE.put(Version(name="v2", python="p", stage="ready")), move=move))

    assert main(["deploy", "status", "--json"]) == 0

    status = json.loads(capsys.readouterr().out)
    assert (status["host"], status["active"], status["switching_to"]) == (False, "v1", "v2")
    assert [(each["name"], each["traffic_percent"]) for each in status["versions"]] == [("v1", 75), ("v2", 25)]
    assert main(["deploy", "status"]) == 0
    assert "NO HOST RUNS" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["status", "up"])
def test_a_state_that_was_cut_is_refused(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = deploy_folder()
    save(folder, STATE)
    (folder / NAME).write_bytes((folder / NAME).read_bytes()[:100])

    assert main(["deploy", action]) == 1

    assert "cannot be used: it is cut short" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["switch", "rollback", "down"])
def test_without_a_host_there_is_nothing_to_be_told(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", action]) == 1
    assert "No host runs here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["switch", "--steps", "50,25,100"], "rising, and 100 at the end"),
        (["switch", "--steps", "5,25"], "rising, and 100 at the end"),
        (["switch", "--step-seconds", "-1"], "no number of seconds"),
        (["switch", "--bake-seconds", "nan"], "no number of seconds"),
        (["up", "--python", "/nowhere/python"], "is no program"),
    ],
)
def test_what_makes_no_sense_is_bad_usage(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_settings_with_other_steps_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("undercroft.toml").write_text("[deploy.host]\nsteps = [50, 20]\n")

    assert main(["deploy", "status"]) == 2

    assert "deploy.host.steps is [50, 20]; write rising numbers" in capsys.readouterr().err


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a program called kubectl, the only one on PATH, thinks the cluster is."""
    program = tmp_path / "programs" / "kubectl"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{KUBECTL}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    state = program.with_name("cluster.json")
    selector = {"app": "ai-api", "undercroft.dev/colour": "blue"}
    state.write_text(json.dumps({"selector": selector, "health": "ok", "said": []}))
    return state


def test_a_service_of_kubernetes_is_switched_by_way_of_kubectl(
    cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switch = ["deploy", "switch", "--kubernetes", "--namespace", "ai", "--bake-seconds", "0", "--json"]

    assert main(switch) == 0

    known = json.loads(cluster.read_text())
    assert known["selector"]["undercroft.dev/colour"] == "green"
    assert all(words[:2] == ["--namespace", "ai"] for words in known["said"])
    assert ["rollout", "status", "deployment/api-green", "--timeout=600s"] in [words[2:] for words in known["said"]]
    assert "sends its traffic to green" in json.loads(capsys.readouterr().out)["text"]


def test_one_that_is_not_well_is_not_switched_to(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.write_text(cluster.read_text().replace('"ok"', '"unavailable"'))

    assert main(["deploy", "switch", "--kubernetes", "--bake-seconds", "0"]) == 1

    assert "pod-green says on /health: unavailable" in capsys.readouterr().err
    assert json.loads(cluster.read_text())["selector"]["undercroft.dev/colour"] == "blue"
