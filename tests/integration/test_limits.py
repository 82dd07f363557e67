"""Keys and budgets of a running installation: callers at the same time, several processes, and kill -9."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from http.client import HTTPException
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from sqlalchemy import Connection, select

from tests.support.background import upstream_in_background
from tests.support.faults import configured
from tests.support.server import SCRIPTED, SERVE, Server, run, serving, started, until
from undercroft.clock import SystemClock
from undercroft.ledger.slice_stores.redis_scripts import PREFIX
from undercroft.ledger.slice_stores.sql import SETTLED
from undercroft.money import format_usd, parse_usd
from undercroft.storage.engine import open_database
from undercroft.storage.schema import calls, slices

MASTER = "a-master-key-for-tests-only"
CALLERS = 24
MANY_CALLERS = 200
MOST_CALLS = 760
COST_NANO = 11_000
"""One word in and five out, at 1 and 2 USD a million."""
LONGEST_LEASE_S = 15.0


def key_in(folder: Path, *options: str, extra: dict[str, str] | None = None, toml: str = SCRIPTED) -> tuple[str, str]:
    """The id and the text of a key made on the command line."""
    made = run(folder, "keys", "create", "--json", *options, toml=toml, extra=extra)
    assert made.exit_code == 0, made.stderr
    answer = msgspec.json.decode(made.stdout)
    return answer["id"], answer["key"]


def outcomes(servers: list[Server], key: str, count: int, *, callers: int = CALLERS) -> Counter[int]:
    """Statuses of so many calls, some at a time, spread over the servers; 0 where a server went away."""

    def call(number: int) -> int:
        try:
            return servers[number % len(servers)].chat("hi", key=key, max_tokens=5).status
        except (OSError, HTTPException):
            return 0

    with ThreadPoolExecutor(callers) as pool:
        return Counter(pool.map(call, range(count)))


def is_ready(server: Server) -> bool:
    return server.ask("/health/ready").status == 200


def test_callers_at_the_same_time_never_go_over_a_limit_and_the_books_agree(tmp_path: Path) -> None:
    _, narrow = key_in(tmp_path, "--requests-per-minute", "1000000", "--budget", "0.0005", "--per", "total")
    _, other = key_in(tmp_path)
    with serving(tmp_path, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        seen = outcomes([server], narrow, 200)
        assert set(seen) == {200, 429}
        assert outcomes([server], other, 3) == {200: 3}
        refused = server.chat("hi", key=narrow, max_tokens=5)
        assert (refused.status, refused.json["error"]["code"]) == (429, "budget_exceeded")
        assert refused.headers["x-should-retry"] == "false"
        assert "0.0005 USD" in refused.json["error"]["message"]
        master = {"UNDERCROFT_MASTER_KEY": MASTER}
        compared = run(
            tmp_path, "ledger", "verify", "--metrics", f"{server.url}/metrics", "--json", toml=None, extra=master
        )
        assert compared.exit_code == 0, compared.stdout
        assert msgspec.json.decode(compared.stdout)["counted"] == 204
        assert run(tmp_path, "ledger", "verify", "--metrics", f"{server.url}/health", extra=master).exit_code == 2
    # The most a call may cost is held of it, so that the last few calls' worth stays.
    assert 0.0004 * 10**9 < seen[200] * COST_NANO <= 0.0005 * 10**9
    verified = run(tmp_path, "ledger", "verify", toml=None)
    assert verified.exit_code == 0, verified.stdout
    assert "balances of limits compared" in verified.stdout


def test_what_was_said_before_a_limit_cut_the_stream_counts_for_good(tmp_path: Path) -> None:
    toml = SCRIPTED.replace("One two three four five.", "word " * 2000) + "[limits]\noutput_tokens = 100\n"
    key_id, key = key_in(tmp_path, "--tokens-per-minute", "400", toml=toml)
    with serving(tmp_path, toml=toml, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        cut = server.chat("hi", key=key, stream=True)
        assert b"rate_limit" in cut.body
        assert b"[DONE]" not in cut.body
        until(lambda: any(row.id == cut.request_id for row in server.rows()))
        (row,) = [row for row in server.rows() if row.id == cut.request_id]
        assert 0 < row.input_tokens + row.output_tokens <= 400
        (limit,) = server.ask(f"/api/v1/keys/{key_id}", key=MASTER).json["limits"]
        assert limit["used"] == str(row.input_tokens + row.output_tokens)
    verified = run(tmp_path, "ledger", "verify", toml=None)
    assert verified.exit_code == 0, verified.stdout


def test_a_stream_under_a_budget_ends_where_what_is_held_for_it_ends(tmp_path: Path) -> None:
    toml = SCRIPTED.replace("One two three four five.", "word " * 2000) + "[limits]\noutput_tokens = 100\n"
    _, key = key_in(tmp_path, "--budget", "0.01", "--per", "total", toml=toml)
    with serving(tmp_path, toml=toml, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        ended = server.chat("hi", key=key, stream=True)
        assert b'"finish_reason":"length"' in ended.body
        assert b"[DONE]" in ended.body
        until(lambda: any(row.id == ended.request_id for row in server.rows()))
        (row,) = [row for row in server.rows() if row.id == ended.request_id]
        assert row.output_tokens <= 100
        assert row.cost_nano <= row.held_nano


def test_a_budget_ends_a_completion_that_says_no_end_and_leaves_others_as_they_came(tmp_path: Path) -> None:
    with upstream_in_background() as upstream:
        toml = configured(upstream.base_url, {"text": ""})
        _, narrow = key_in(tmp_path, "--budget", "1", "--per", "total", toml=toml)
        _, other = key_in(tmp_path, toml=toml)
        with serving(tmp_path, toml=toml) as server:
            body = {"model": "text", "prompt": "Once", "best_of": 2}
            answers = [server.ask("/v1/completions", json=body, key=key) for key in (narrow, other)]
            assert [answer.status for answer in answers] == [200, 200]
            assert ["x-undercroft-hold" in answer.headers for answer in answers] == [True, False]
            ended, plain = upstream.requests[-2:]
            assert ended.json == {**body, "max_tokens": 16}
            assert plain.json == body


def test_what_a_key_may_do_is_changed_rotated_and_revoked_over_http(tmp_path: Path) -> None:
    with serving(tmp_path, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        made = server.ask("/api/v1/keys", json={"name": "web", "limits": [{"requests": 1}]}, key=MASTER)
        assert made.status == 201, made.json
        path, first = f"/api/v1/keys/{made.json['id']}", made.json["key"]
        assert server.chat(key=first).status == 200
        refused = server.chat(key=first)
        assert (refused.status, refused.headers.get("x-should-retry")) == (429, None)
        assert 0 < int(refused.headers["retry-after"]) <= 60
        path_of_why = f"/api/v1/requests/{refused.request_id}/explanation"
        until(lambda: server.ask(path_of_why, key=MASTER).status == 200)
        why = server.ask(path_of_why, key=MASTER).json["steps"]
        assert f"The limit of 1 requests a minute for the key '{made.json['id']}' is reached" in str(why)
        left = [refused.headers[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining")]
        assert left == ["1", "0"]
        changed = server.ask(path, method="PATCH", json={"limits": [], "models": ["chat"]}, key=MASTER)
        assert (changed.json["limits"], changed.json["models"]) == ([], ["chat"])
        assert server.chat(key=first).status == 200
        assert server.chat(key=first, model="local").status == 403
        rotated = server.ask(f"{path}/rotate", json={"overlap_s": 60}, key=MASTER)
        assert [server.chat(key=key).status for key in (first, rotated.json["key"])] == [200, 200]
        assert server.ask(f"{path}/rotate", json={"overlap_s": 0}, key=MASTER).status == 200
        assert [server.chat(key=key).status for key in (first, rotated.json["key"])] == [401, 401]
        assert server.ask(f"{path}/revoke", method="POST", key=MASTER).status == 200
        shown = server.ask("/api/v1/keys", key=MASTER).json["data"]
        assert [(each["name"], each["revoked_at"] is not None) for each in shown] == [("web", True)]
        assert rotated.json["key"] not in server.ask("/api/v1/keys", key=MASTER).body.decode()
        assert server.ask(path, method="PATCH", json={"name": "x"}, key=MASTER).status == 409
        assert server.ask("/api/v1/keys/nobody12", key=MASTER).status == 404
        wrongs: list[dict[str, object]] = [
            {"limits": [{}]}, {"limits": [{"requests": 0}]}, {"budget": 1}, {"user": "a|b"},
        ]  # fmt: skip
        for wrong in wrongs:
            assert server.ask("/api/v1/keys", json=wrong, key=MASTER).status == 400, wrong
        assert server.ask("/api/v1/keys", json={}, key=first).status in (401, 403)


def test_a_team_has_a_budget_that_all_its_keys_share(tmp_path: Path) -> None:
    _, first = key_in(tmp_path, "--team", "search", "--user", "ada")
    _, second = key_in(tmp_path, "--team", "search", "--user", "bob")
    _, other = key_in(tmp_path, "--team", "ads", "--user", "eve")
    path = "/api/v1/limits/team/search"
    with serving(tmp_path, toml=SCRIPTED, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        assert server.ask(path, key=MASTER).json == {"data": []}
        wanted = [{"spend": "0.00015", "period": "month"}, {"requests": 100, "model": "chat"}]
        made = server.ask(path, method="PUT", json={"limits": wanted}, key=MASTER)
        assert [(each["measure"], each["amount"]) for each in made.json["data"]] == [
            ("requests", "100"), ("spend", "0.00015"),
        ]  # fmt: skip
        seen = [server.chat("hi", key=key, max_tokens=5).status for key in (first, second) * 4]
        assert seen[:3] == [200, 200, 200]
        assert seen[-1] == 429
        refused = server.chat("hi", key=second, max_tokens=5)
        assert "for the team 'search'" in refused.json["error"]["message"]
        assert server.chat("hi", key=other, max_tokens=5).status == 200
        until(lambda: server.ask(path, key=MASTER).json["data"][1]["used"] == format_usd(seen.count(200) * COST_NANO))
        assert server.ask(path, method="PUT", json={"limits": wanted}, key=first).status == 403
        assert server.ask("/api/v1/limits/organisation/another", key=MASTER).status == 404
        assert server.ask("/api/v1/limits/crowd/search", key=MASTER).status == 400
        assert server.ask(path, method="PUT", json={"limits": [{}]}, key=MASTER).status == 400
    shown = run(tmp_path, "limits", "show", "team", "search", "--json", toml=None)
    assert [row["measure"] for row in msgspec.json.decode(shown.stdout)] == ["requests", "spend"]
    cleared = run(tmp_path, "limits", "set", "team", "search", "--concurrent", "2", "--json", toml=None)
    assert [row["limit"] for row in msgspec.json.decode(cleared.stdout)] == ["2 calls at a time"]
    assert "Nothing is set for the user 'ada'" in run(tmp_path, "limits", "show", "user", "ada", toml=None).stdout
    assert run(tmp_path, "limits", "show", "organisation", "another", toml=None).exit_code == 1
    verified = run(tmp_path, "ledger", "verify", toml=None)
    assert verified.exit_code == 0, verified.stdout


def test_without_redis_calls_are_answered_and_limited_by_each_process(tmp_path: Path) -> None:
    toml = f'{SCRIPTED}\n[[limits.rules]]\nper = "organisation"\nperiod = "day"\nrequests = 5\nspend = "1"\n'
    with serving(tmp_path, toml=toml, extra={"REDIS_URL": "redis://127.0.0.1:1/0"}) as server:
        assert outcomes([server], "sk-any", 9, callers=1) == {200: 5, 429: 4}
    verified = run(tmp_path, "ledger", "verify", toml=None)
    assert verified.exit_code == 0, verified.stdout


@pytest.mark.parametrize("place", ["sqlite", "postgresql", "postgresql and redis"])
def test_processes_that_are_killed_never_let_a_limit_be_exceeded_and_leave_nothing_held(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if place.startswith("postgresql") else None
    redis_url = request.getfixturevalue("redis_url") if place.endswith("redis") else None
    extra = {"UNDERCROFT_MASTER_KEY": MASTER, **({"DATABASE_URL": url} if url else {})}
    extra |= {"REDIS_URL": redis_url} if redis_url else {}
    toml = f'{SCRIPTED}\n[[limits.rules]]\nper = "key"\nperiod = "total"\nrequests = {MOST_CALLS}\n'
    if url:
        assert run(tmp_path, "migrate", extra=extra, toml=toml).exit_code == 0
    _, key = key_in(tmp_path, "--budget", "0.009", "--per", "total", extra=extra, toml=toml)
    budget_nano, rng = parse_usd("0.009"), random.Random(7)
    with ExitStack() as stack:
        lasting = stack.enter_context(started(tmp_path, SERVE, extra=extra, toml=toml))
        until(partial(is_ready, lasting))
        for _ in range(2):
            with ExitStack() as short:
                doomed = short.enter_context(started(tmp_path, SERVE, extra=extra, toml=toml))
                until(partial(is_ready, doomed))
                with ThreadPoolExecutor(1) as pool:
                    running = pool.submit(outcomes, [lasting, doomed], key, 300, callers=MANY_CALLERS)
                    time.sleep(rng.uniform(0.2, 0.8))
                    doomed.kill()
                    running.result()
        outcomes([lasting], key, 400, callers=MANY_CALLERS)
        spent, calls_counted = until_settled(tmp_path, url)
        assert budget_nano * 0.5 < spent <= budget_nano
        assert calls_counted <= MOST_CALLS
        if redis_url:
            until(lambda: len(owners_in(redis_url)) <= 1, within_s=10 * LONGEST_LEASE_S, every_s=0.2)
    if redis_url:
        assert owners_in(redis_url) == set(), "at rest, something is held in Redis"
    verified = run(tmp_path, "ledger", "verify", toml=None, extra=extra)
    assert verified.exit_code == 0, verified.stdout


def owners_in(redis_url: str) -> set[bytes]:
    """Who has anything leased of any window in Redis."""
    with Redis.from_url(redis_url) as redis:
        windows = redis.keys(f"{PREFIX}w:*")
        return {field for window in windows for field in redis.hkeys(window) if field.startswith(b"o:")}


def until_settled(folder: Path, url: str | None) -> tuple[int, int]:
    """Waits until no dead process has anything leased; what the ledger says was spent, and by how many calls."""
    database = open_database(url, data_dir=folder / ".undercroft", pool_size=1, clock=SystemClock(), migrates=False)

    def owners(connection: Connection) -> set[str]:
        return set(connection.execute(select(slices.c.owner).where(slices.c.owner != SETTLED)).scalars())

    try:
        until(lambda: len(database.read_sync(owners)) <= 1, within_s=10 * LONGEST_LEASE_S, every_s=0.2)
        let_in = select(calls.c.cost_nano).where(calls.c.status != 429)
        costs = database.read_sync(lambda connection: connection.execute(let_in).scalars().all())
        return sum(costs), len(costs)
    finally:
        database.close()
