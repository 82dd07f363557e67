"""Identical calls to a running server share one upstream call, and the ledger says who paid."""

import threading
from pathlib import Path

from tests.support.background import upstream_in_background
from tests.support.faults import TEXT, answering, configured, whole
from tests.support.http import Answer
from tests.support.server import until

CALLERS = 5


def test_callers_who_ask_for_the_same_at_once_cost_one_answer(tmp_path: Path) -> None:
    with upstream_in_background() as upstream:
        upstream.answers = {"slow": lambda request: [1.5, whole(request)]}
        toml = configured(upstream.base_url, {"slow": "coalesce = true"})
        with answering(tmp_path, toml) as server:
            answers: list[Answer] = []
            threads = [
                threading.Thread(target=lambda: answers.append(server.chat(model="slow"))) for _ in range(CALLERS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [answer.json["choices"][0]["message"]["content"] for answer in answers] == [TEXT] * CALLERS
            assert sorted(answer.headers.get("x-undercroft-cache", "") for answer in answers) == [
                "",
                *["coalesced"] * (CALLERS - 1),
            ]
            until(lambda: len(server.rows()) == CALLERS)
            rows = server.rows()
    assert len(upstream.requests) == 1
    assert sorted((row.cache, row.cost_nano > 0) for row in rows) == [
        ("", True),
        *[("coalesced", False)] * (CALLERS - 1),
    ]
