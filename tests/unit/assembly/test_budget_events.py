"""A budget is told of once in each of its periods, when it is nearly and when it is wholly used up."""

import msgspec

from undercroft.assembly.budget_events import BudgetTeller
from undercroft.events.types import BudgetData, Fact
from undercroft.ledger.limits import Limit
from undercroft.record import Who

DAY_US = 86_400_000_000
BUDGET = Limit(scope="key", measure="spend", amount=10_000_000_000, period="day", model="chat")
WHO = Who(organisation="acme", key="k1")


class Told:
    def __init__(self) -> None:
        self.facts: list[tuple[Fact, str, int]] = []

    def __call__(self, fact: Fact, mark: str, until_us: int) -> None:
        self.facts.append((fact, mark, until_us))

    @property
    def types(self) -> list[str]:
        return [fact.type for fact, _, _ in self.facts]


def test_a_budget_is_told_of_once_when_four_fifths_are_gone_and_once_when_a_call_is_turned_away() -> None:
    told = Told()
    teller, window = BudgetTeller(told), BUDGET.window(WHO, DAY_US)
    for amount in (1, 7_999_999_999, 8_000_000_000, 9_000_000_000):
        teller.taken(BUDGET, window, amount)
    teller.exhausted(BUDGET, window, 9_900_000_000)
    teller.exhausted(BUDGET, window, 9_900_000_000)

    (warning, mark, until_us), (spent, _, _) = told.facts
    assert (warning.type, warning.organisation, until_us) == ("budget.warning", "acme", 2 * DAY_US)
    assert warning.data == BudgetData(id="key:k1:chat", period="day", spent_usd="8", limit_usd="10")
    assert (spent.type, spent.data) == ("budget.spent", msgspec.structs.replace(warning.data, spent_usd="9.9"))
    assert mark.startswith("budget.warning|")


def test_the_next_period_is_told_of_anew_and_others_of_their_own() -> None:
    told = Told()
    teller = BudgetTeller(told)
    for who, at_us in ((WHO, 0), (WHO, DAY_US), (Who(organisation="acme", key="k2"), 0), (Who(key="k1"), 0)):
        teller.taken(BUDGET, BUDGET.window(who, at_us), BUDGET.amount)
    assert told.types == ["budget.warning"] * 4
    assert len({(fact.organisation, mark) for fact, mark, _ in told.facts}) == 4


def test_rate_limits_and_calls_that_ask_for_too_much_at_once_are_no_news() -> None:
    told = Told()
    teller = BudgetTeller(told)
    rate = Limit(scope="key", measure="requests", amount=10, period="minute")
    teller.taken(rate, rate.window(WHO, 0), 10)
    teller.exhausted(rate, rate.window(WHO, 0), 10)
    teller.exhausted(BUDGET, BUDGET.window(WHO, 0), 0)
    assert told.facts == []
