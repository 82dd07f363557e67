"""Live answers that are checked while they are given, and what that comes to."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.background import upstream_in_background
from tests.support.release_server import Load, echo, manage, promoted, release, status, toml_of
from tests.support.server import Server, run, serving, until
from tests.support.upstream import Upstream

ONLINE = """
[releases]
least_calls = 20
online_max_cost = "{cap}"
[[releases.online]]
alias = "support"
checks = "quality.json"
share = {share}
"""
CAP_NANO = 20_000


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as upstream:
        upstream.answers |= {"old": echo, "new": echo, "judge": echo}
        yield upstream


def write_checks(folder: Path, *checks: object) -> None:
    (folder / "quality.json").write_bytes(msgspec.json.encode(checks))


def evaluated(server: Server) -> dict[str, int]:
    """How many answers came to what, as the metric has it."""
    lines = server.ask("/metrics").body.decode().splitlines()
    found = [line for line in lines if line.startswith("ai_online_evaluations_total{")]
    return {line.split('"')[1]: int(float(line.rpartition(" ")[2])) for line in found}


def test_a_candidate_whose_answers_fail_the_checks_is_rolled_back(tmp_path: Path, upstream: Upstream) -> None:
    write_checks(tmp_path, {"contains": "old"}, "pii")
    toml = toml_of(upstream, "old", "new", rest=ONLINE.format(cap="1.00", share=1.0))
    with serving(tmp_path, toml=toml) as server:
        old, new = release(server, "old"), release(server, "new")
        promoted(server, old)
        with Load(server, users=8, pause_s=0.01).running() as load:
            until(lambda: len(load.everything()) > 120)
            time.sleep(1.5)  # what was booked is in the database
            manage(server, f"/releases/{new}/rollout", {"steps": [0.5], "bake_s": 600})
            until(lambda: status(server)["rollout"]["state"] == "rolled_back", within_s=60)

        found = status(server)
        assert found["rollout"]["reason"].startswith("evaluation: ")
        assert found["current"] == old
        said = server.ask("/api/v1/feedback?source=evaluation&limit=1000").json["data"]
        assert {(each["score"], each["label"]) for each in said} == {(1.0, ""), (0.0, "contains")}
        counts = found["moves"][0]["evidence"]["counts"]
        print(f"\nrolled back by {counts}; {evaluated(server)}")


def test_a_share_of_answers_is_judged_and_no_more_than_the_cap_is_spent(tmp_path: Path, upstream: Upstream) -> None:
    write_checks(tmp_path, {"judge": {"model": "judge", "rubric": "Say YES."}})
    cap = f"{CAP_NANO / 1e9:.9f}"
    toml = toml_of(upstream, "old", "new", "judge", rest=ONLINE.format(cap=cap, share=0.5))
    with serving(tmp_path, toml=toml) as server:
        promoted(server, release(server, "old"))
        for number in range(60):
            assert server.chat("hi", model="support", user=str(number)).status == 200
        until(lambda: sum(evaluated(server).values()) > 15)
        time.sleep(1.5)

        found = evaluated(server)
        judged = [row for row in server.rows() if row.endpoint == "online_evaluation"]
        assert 15 < sum(found.values()) < 45, "about half"
        assert 0 < sum(row.cost_nano for row in judged) <= CAP_NANO
        assert len(judged) == found["failed"] + found.get("passed", 0)
        assert found["left_out"] > 0
        assert {row.key for row in judged} == {""}, "who asked does not pay for it"
        print(f"\n{found}, {sum(row.cost_nano for row in judged)} of {CAP_NANO} nano-dollars")


def test_checks_that_cannot_be_used_are_found_before_the_port_opens(tmp_path: Path, upstream: Upstream) -> None:
    toml = toml_of(upstream, "old", rest=ONLINE.format(cap="1.00", share=0.5))
    for checks, says in (([{"nonsense": 1}], "no check 'nonsense'"), ([], "no checks"), ([{"regex": "("}], "regex")):
        write_checks(tmp_path, *checks)
        refused = run(tmp_path, "serve", "--port", "0", toml=toml)
        assert refused.exit_code == 2
        assert says in refused.stderr
    (tmp_path / "quality.json").unlink()
    refused = run(tmp_path, "serve", "--port", "0", toml=toml)
    assert refused.exit_code == 2
    assert "quality.json" in refused.stderr
