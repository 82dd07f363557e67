"""What the operator wrote of tries and time limits, as the gateway and its connections see it."""

from typing import Any

from undercroft.assembly.reliability import FIRST_TOKEN_S, limits_of, own_limits, policy_of
from undercroft.egress.client import TimeLimits
from undercroft.gateway.policy import USUAL
from undercroft.settings.model import Model, Reliability, Settings


def model(*, deployments: int = 1, **settings: Any) -> Model:
    return Model.model_validate({"name": "chat", "deployments": [{"provider": "scripted"}] * deployments, **settings})


def test_nothing_said_is_the_usual_policy() -> None:
    assert policy_of(None, Reliability()) == policy_of(model(), Reliability()) == USUAL


def test_a_model_says_what_the_section_does_not() -> None:
    usual = Reliability(tries=2, on_cut="continue", coalesce=True, total_timeout_s=9)
    inherited = policy_of(model(), usual)
    assert (inherited.tries, inherited.on_cut, inherited.coalesce, inherited.total_s) == (2, "continue", True, 9)
    own = policy_of(model(tries=4, on_cut="error", coalesce=False, total_timeout_s=5), usual)
    assert (own.tries, own.on_cut, own.coalesce, own.total_s) == (4, "error", False, 5)


def test_the_first_word_is_waited_for_less_long_where_somebody_else_can_be_asked() -> None:
    assert policy_of(model(), Reliability()).first_token_s is None
    assert policy_of(model(deployments=2), Reliability()).first_token_s == FIRST_TOKEN_S
    assert policy_of(model(fallbacks=["other"]), Reliability()).first_token_s == FIRST_TOKEN_S
    assert policy_of(model(fallbacks=["other"], first_token_timeout_s=40), Reliability()).first_token_s == 40
    assert policy_of(model(deployments=2), Reliability(first_token_timeout_s=30)).first_token_s == 30


def test_connections_wait_as_egress_says_unless_the_model_or_the_section_does() -> None:
    settings = Settings()
    assert limits_of(model(), settings) == limits_of(None, settings) == own_limits(settings.egress)
    settings = Settings(reliability=Reliability(between_chunks_timeout_s=7))
    made = limits_of(model(connect_timeout_s=1, whole_answer_timeout_s=300, first_token_timeout_s=5), settings)
    assert made == TimeLimits(connect_s=1, first_byte_s=300, idle_s=7)
