"""`undercroft plan`, as typed."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.server import run, serving
from undercroft.cli.main import main
from undercroft.planning.estimate import estimate_resources

BASICS = ["--daily-requests", "1000000", "--avg-ms", "200"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_estimate_has_the_keys_of_the_function_on_top(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "estimate", *BASICS, "--peak-factor", "2.5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert estimate_resources(1e6, 200, 2.5).items() <= told.items()
    assert {"low", "likely", "high"} == set(told["monthly_total"])


def test_an_estimate_for_people_says_where_each_number_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "estimate", *BASICS, "--model", "nobody/knows"]) == 0
    shown = capsys.readouterr()

    for word in ("(derived)", "(given)", "(assumed)", "unknown", "total, as known"):
        assert word in shown.out
    assert "warning: the total leaves out what is unknown: tokens, egress" in shown.err


def test_an_estimate_imports_neither_the_server_nor_pydantic_nor_the_database() -> None:
    code = (
        "import sys; from undercroft.cli.main import main; "
        f"main(['plan', 'estimate', *{BASICS!r}, '--json']); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"fastapi", "pydantic", "sqlalchemy", "numpy", "rich", "uvicorn", "structlog", "asyncio"}

    assert not heavy & set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["estimate", "--avg-ms", "5"], 2, "daily_requests is missing"),
        (["estimate", "--daily-requests", "-5", "--avg-ms", "5"], 2, "daily_requests is -5: it must be from 1 to"),
        (["estimate", "--daily-requests", "nan", "--avg-ms", "5"], 2, "daily_requests is nan"),
        (["estimate", *BASICS, "--curve", "1,2,x"], 2, "--curve '1,2,x' is no list of numbers"),
        (["estimate", *BASICS, "--curve", "1,2"], 2, "curve has 2 values: it must have 24"),
        (["estimate", *BASICS, "--prices", "none.toml"], 1, "There is no price file none.toml"),
        (["estimate", *BASICS, "--p95-target-ms", "1"], 1, "no number of replicas meets p95_target_ms 1"),
        (["estimate", "--from-telemetry"], 1, "nothing was used yet"),
        (["compare", *BASICS, "--region", "westeurope"], 2, "names no cloud"),
        (["instances", "--region", "us-east-1"], 2, "--region needs --provider"),
        (["instances", "--provider", "awz"], 2, "provider 'awz' is not known; the nearest is 'aws'"),
        (["simulate", "--rate", "1", "--avg-ms", "5", "--burst", "1:2"], 2, "--burst '1:2' is not understood"),
        (["simulate", "--rate", "1", "--avg-ms", "5", "--out", "x.png"], 2, "name it .svg or .html"),
        (["simulate", "--rate", "0", "--avg-ms", "5"], 2, "rate is 0"),
        (["verify", "--duration", "0"], 2, "duration is 0"),
        (["verify", "--load", "2"], 2, "load is 2: it must be from 0.01 to 0.95"),
        (["verify", "--target", "ftp://x"], 2, "--target 'ftp://x' is no server"),
        (["verify", "--target", "http://127.0.0.1:9", "--key", "NO_SUCH_VARIABLE"], 2, "which is not set"),
        (["verify", "--recorded"], 1, "nothing was used yet"),
        (["optimize", "--since", "soon"], 2, "'soon' is no time"),
        (["optimize", "--replicas", "0"], 2, "replicas is 0"),
    ],
)
def test_bad_input_ends_with_a_line_that_says_what_to_do(
    arguments: list[str], code: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == code
    assert complaint in capsys.readouterr().err


def test_a_comparison_draws_its_chart(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "compare", *BASICS, "--chart", "costs.svg"]) == 0

    assert "containers" in capsys.readouterr().out
    ET.parse(here / "costs.svg")


def test_your_own_prices_are_read_from_the_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "prices.toml").write_text("egress_usd_per_gb = 1\n", "utf-8")
    assert main(["plan", "estimate", *BASICS, "--json"]) == 0

    assert "egress" not in json.loads(capsys.readouterr().out)["unknown"]


def test_instances_show_price_date_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "instances", "--workload", "training", "--provider", "aws"]) == 0
    shown = capsys.readouterr()

    assert "prices of 2026-07-20" in shown.out
    assert "p3.2xlarge" in shown.err


@pytest.mark.parametrize("name", ["plot.svg", "plot.html"])
def test_a_simulation_prints_its_timeline_and_draws_it(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "plan",
        "simulate",
        "--rate",
        "5",
        "--avg-ms",
        "300",
        "--replicas",
        "2",
        "--duration",
        "600",
        "--steps",
        "6",
    ]
    assert main([*arguments, "--policy", "cpu", "--out", name]) == 0
    shown = capsys.readouterr().out

    assert len(shown.split("\n\n")[0].splitlines()) == 7
    assert "p95_ms" in shown
    assert (here / name).read_text("utf-8").count("<polyline") >= 6


def test_a_simulation_repeats_itself(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "simulate", "--rate", "5", "--avg-ms", "300", "--duration", "300", "--json"]
    main(arguments)
    first = capsys.readouterr().out
    main(arguments)

    assert capsys.readouterr().out == first


def test_help_has_an_example_for_every_action(capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("estimate", "instances", "compare", "simulate", "verify", "optimize"):
        assert main(["plan", action, "--help"]) == 0
        assert f"Example:\n  undercroft plan {action}" in capsys.readouterr().out


def test_a_verification_of_the_gateway_predicts_measures_and_says_by_how_much_it_is_off(tmp_path: Path) -> None:
    done = run(
        tmp_path, "plan", "verify", "--workload", "gateway", "--duration", "2", "--runs", "1", "--load", "0.05",
        "--band", "9", "--json", within_s=300,
    )  # fmt: skip
    told = json.loads(done.stdout)
    lines = {(each["load"], each["what"]): each for each in told["lines"]}

    assert lines["5%", "p50"]["low"] > 60, "the stand-in provider takes 80 ms on average"
    assert lines["5%", "p50"]["measured"] > 60
    assert lines["saturation", "throughput"]["measured"] > 0
    assert lines["5%", "CPU"]["measured"] > 0
    assert lines["5%", "memory"]["measured"] > 10
    assert {each["what"] for each in told["lines"] if each["is_judged"]} == {"throughput", "p95"}
    assert done.exit_code == (0 if told["is_within"] else 1)
    assert any("alone" in each for each in told["calibrated"])


def test_a_server_that_runs_already_is_predicted_from_its_own_limit(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        arguments = ["--duration", "2", "--runs", "1", "--load", "0.05", "--band", "9", "--json"]
        done = run(tmp_path, "plan", "verify", "--target", server.url, *arguments, within_s=300)
    told = json.loads(done.stdout)

    assert {(each["load"], each["what"]) for each in told["lines"]} == {("5%", "p50"), ("5%", "p95"), ("5%", "p99")}
    assert any("its throughput is no prediction" in each.replace("\n", " ") for each in told["calibrated"])


def test_a_server_that_refuses_is_no_measurement(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        done = run(tmp_path, "plan", "verify", "--target", server.url, "--model", "nobody", "--duration", "1")

    assert done.exit_code == 1
    assert "had no answer with status 200" in done.stderr
