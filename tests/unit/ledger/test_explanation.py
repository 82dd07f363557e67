"""A call's story, from its record alone."""

from tests.support.ledger import ended
from undercroft.ledger.explanation import explain
from undercroft.record import CallRecord, Step, Usage, Who


def told(record: CallRecord) -> list[str]:
    return [step.text for step in explain(record).steps]


def test_a_call_that_found_its_answer_at_the_third_attempt() -> None:
    record = ended(
        "req_1",
        who=Who(key="abc"),
        model="chat",
        deployment="spare/0",
        upstream_model="gpt-x",
        attempts=3,
        steps=(Step("chat/0", "upstream_timeout"), Step("chat/1", "upstream_overloaded")),
        duration_us=2_500_000,
        first_token_us=1_250_000,
        usage=Usage(input=10, output=20, reasoning=5, cache_read=4),
        cost_nano=1_500_000,
        held_nano=2_000_000,
        price="settings 1/2",
        streamed=True,
        cache="miss",
        endpoint="/v1/chat/completions",
    )
    assert told(record) == [
        "/v1/chat/completions was asked for the model 'chat', streamed by the key abc.",
        "0.002 USD were held of its budgets while it ran.",
        "The cache had no answer.",
        "Attempt 1: chat/0 failed with upstream_timeout.",
        "Attempt 2: chat/1 failed with upstream_overloaded.",
        "Attempt 3: spare/0, of the fallback 'spare', was asked.",
        "It was answered by gpt-x after 2.500 s, its first piece after 1.250 s.",
        "Tokens: 10 in, 20 out, 4 read from the provider's cache, 5 for reasoning; as the provider counted.",
        "It cost 0.0015 USD, by the price settings 1/2.",
    ]
    assert (explain(record).cost_usd, explain(record).held_usd) == ("0.0015", "0.002")


def test_each_attempt_says_how_it_was_chosen_and_who_was_passed_over() -> None:
    record = ended(
        "req_1",
        model="chat",
        deployment="chat/2",
        attempts=2,
        steps=(Step("chat/0", "upstream_timeout"),),
        chosen="fastest among 3\nfastest among 1 of 3; chat/0 tried, chat/1 resting",
    )
    assert told(record)[1:3] == [
        "Attempt 1: chat/0 failed with upstream_timeout (fastest among 3).",
        "Attempt 2: chat/2 was asked (fastest among 1 of 3; chat/0 tried, chat/1 resting).",
    ]


def test_an_attempt_without_a_choice_says_nothing_of_one() -> None:
    record = ended(
        "req_1",
        model="chat",
        deployment="spare/1",
        attempts=2,
        steps=(Step("chat/0", "upstream_timeout"),),
        chosen="\nround_robin among 2",
    )
    assert told(record)[1:3] == [
        "Attempt 1: chat/0 failed with upstream_timeout.",
        "Attempt 2: spare/1, of the fallback 'spare', was asked (round_robin among 2).",
    ]


def test_what_was_turned_away_says_by_what() -> None:
    because = "The limit of 2 requests a minute for the key 'abc' is reached: 0 requests left; it renews at 12:00."
    record = ended("req_1", status=429, error="rate_limit_exceeded", attempts=0, deployment="", because=because)
    (answer,) = [step for step in told(record) if step.startswith("It ended with 429 rate_limit_exceeded")]
    assert answer.endswith(f" s: {because}")


def test_a_hit_was_asked_of_nobody_and_says_what_it_saved() -> None:
    record = ended("req_1", cache="hit", deployment="", attempts=0, usage=Usage(), cost_nano=0, saved_nano=7, price="")
    steps = told(record)
    assert not any("Attempt" in step for step in steps)
    assert steps[-1] == "It cost nothing, and saved 0.000000007 USD."


def test_a_refusal_and_an_interrupted_call_say_so() -> None:
    refused = ended("req_1", status=429, error="budget_exceeded", attempts=0, deployment="", usage=Usage(), model="")
    assert "no model that could be found" in told(refused)[0]
    assert "It ended with 429 budget_exceeded" in told(refused)[1]
    assert told(refused)[-1] == "It cost nothing: no tokens were spent."
    cut = ended("req_2", status=499, error="interrupted", usage=Usage(input=3), usage_estimated=True, price="")
    assert "The process that ran it died before the answer had ended." in told(cut)
    assert told(cut)[-1].startswith("What it cost is not known")
