"""A budget that is used up is told to those who listen, once, however many processes turn calls away."""

from collections import Counter
from pathlib import Path

from tests.support.receiver import ALLOWED, receiving, settle, subscribe
from tests.support.server import serving

TOML = (
    ALLOWED.replace('script = "hi"', 'script = "hi"\nprice = { input = "0", output = "100000" }')
    + """
[server]
workers = 2

[[limits.rules]]
per = "organisation"
period = "day"
spend = "1"
"""
)
"""An answer costs 0.1 USD."""


def test_a_budget_is_told_of_when_it_is_nearly_and_when_it_is_wholly_used_up(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, toml=TOML) as server:
        subscribe(server, receiver, "budget.*")
        statuses = Counter[int]()

        def asks_on() -> bool:
            statuses[server.chat(max_tokens=1).status] += 1
            return len(receiver.got) >= 2 and statuses[429] >= 20

        settle(asks_on, within_s=60)
        told = receiver.events()
        assert statuses.keys() == {200, 429}
        assert statuses[200] <= 10

    assert [each["type"] for each in told] == ["budget.warning", "budget.spent"]
    assert {each["data"]["id"] for each in told} == {"organisation:default"}
    assert {(each["data"]["period"], each["data"]["limit_usd"]) for each in told} == {("day", "1")}
    assert 0.8 <= float(told[0]["data"]["spent_usd"]) <= 1
    assert float(told[1]["data"]["spent_usd"]) >= 0.8
