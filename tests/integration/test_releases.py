"""Releases on a real server: who is answered by what while releases are promoted, rolled out and rolled back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.background import upstream_in_background
from tests.support.release_server import GOING_BACK_S, Load, echo, failing, manage, promoted, release, status, toml_of
from tests.support.server import serving, until
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as upstream:
        upstream.answers |= {"old": echo, "new": echo, "broken": failing}
        yield upstream


@pytest.fixture
def toml(upstream: Upstream) -> str:
    return toml_of(upstream, "old", "new", "broken")


def test_promotion_and_rollback_under_load_fail_nobody_and_mix_nothing(tmp_path: Path, toml: str) -> None:
    with serving(tmp_path, "--workers", "2", toml=toml) as server:
        old, new = release(server, "old"), release(server, "new")
        promoted(server, old)
        with Load(server, users=14, pause_s=0.02).running() as load:  # of six, one rollout in 64 moves none
            until(lambda: load.only(old, since=0))
            plan = {"strategy": "canary", "steps": [0.5], "bake_s": 600}
            manage(server, f"/releases/{new}/rollout", plan)
            until(lambda: len({of for _, _, of, _ in load.everything()}) == 2)
            time.sleep(3)  # both processes have read it by now
            mixed = time.monotonic()
            until(lambda: all(answers[-1][0] > mixed + 1 for answers in load.seen.values()))
            settled = time.monotonic()
            manage(server, "/aliases/support/rollback", {"reason": "a drill"})
            back = time.monotonic()
            until(lambda: load.only(old, since=back), within_s=GOING_BACK_S)
            manage(server, f"/releases/{new}/promote", {})
            forth = time.monotonic()
            until(lambda: load.only(new, since=forth), within_s=GOING_BACK_S)
            manage(server, "/aliases/support/rollback", {})
            again = time.monotonic()
            until(lambda: load.only(old, since=again), within_s=GOING_BACK_S)

        answers = load.everything()
        assert [answer for answer in answers if answer[1] != 200] == []
        assert {(of, text) for _, _, of, text in answers} == {(old, "old prompt old"), (new, "new prompt new")}
        for user, of_user in load.seen.items():
            during = {of for at, _, of, _ in of_user if mixed < at < settled}
            assert len(during) == 1, f"{user} has seen {during} during the canary"
        print(f"\n{len(answers)} answers, none failed, none mixed")


def test_a_failing_candidate_is_rolled_back_by_itself_in_every_process(tmp_path: Path, toml: str) -> None:
    with serving(tmp_path, "--workers", "3", toml=toml) as server:
        good, bad = release(server, "old"), release(server, "broken")
        promoted(server, good)
        for number in range(60):  # a past to compare with
            server.chat("hi", model="support", user=str(number))
        with Load(server, users=12, pause_s=0.02).running() as load:
            time.sleep(1.5)  # what was booked is in the database
            manage(server, f"/releases/{bad}/rollout", {"steps": [0.5], "bake_s": 600})
            until(lambda: status(server)["rollout"]["state"] == "rolled_back", within_s=60)
            back = time.monotonic()
            until(lambda: load.only(good, since=back), within_s=GOING_BACK_S)

        found = status(server)
        assert found["rollout"]["reason"].startswith("errors: ")
        assert [move["move"] for move in found["moves"]] == ["rolled_back", "started", "promoted"]
        made_the_breach = found["moves"][0]["evidence"]["counts"]["candidate_bad"]
        assert made_the_breach > 0
        metrics = server.ask("/metrics").body.decode()
        assert 'ai_release_moves_total{move="rolled_back"} 1' in metrics
        affected = sum(any(of == bad for _, _, of, _ in answers) for answers in load.seen.values())
        assert 0 < affected < load.users
        failed = sorted(at for at, _, of, _ in load.everything() if of == bad)
        took_s = failed[-1] - failed[min(made_the_breach, len(failed)) - 1]
        print(
            f"\n{affected} of {load.users} users were affected; the last answer of the candidate came {took_s:.1f} s "
            f"after the one that made the breach, out of 3 processes"
        )
        assert took_s <= GOING_BACK_S


def test_ledger_log_and_header_name_the_release_and_feedback_finds_it(tmp_path: Path, toml: str) -> None:
    with serving(tmp_path, toml=toml) as server:
        only = release(server, "old")
        manage(server, f"/releases/{only}/promote", {})

        answer = server.chat("hi", model="support", store=True)
        assert answer.headers["x-undercroft-release"] == only
        said = server.ask(
            "/api/v1/feedback", json={"response_id": answer.request_id, "score": 0, "comment": "not funny"}
        )
        assert said.status == 201, said
        assert said.json["request_id"] == answer.request_id
        listed = server.ask("/api/v1/feedback?limit=5").json["data"]
        assert [each["comment"] for each in listed] == ["not funny"]
        for body in ({"response_id": answer.request_id}, {"response_id": "x", "score": 1}, {"score": 1}):
            assert server.ask("/api/v1/feedback", json=body).status in (400, 404)

        until(lambda: any(row.release == only for row in server.rows()))
        until(lambda: any(event.get("release") == only for event in server.events))
