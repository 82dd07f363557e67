"""A call that never ended is priced by what the configuration says of its deployment."""

from tests.support.ledger import opened
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.prices import PriceBook, charge
from undercroft.record import CallOpened, Usage
from undercroft.settings.model import Deployment, Model, Price

MODELS = (
    Model(
        name="chat",
        deployments=(
            Deployment(provider="openai", model="gpt-5-mini"),
            Deployment(provider="openai", price=Price(input="7")),
        ),
    ),
)


def stamp(opened: CallOpened, models: tuple[Model, ...] = MODELS) -> str:
    return charge(OpenedPrices(PriceBook(), models)(opened), Usage(input=1))[1]


def test_the_deployment_says_what_its_call_costs() -> None:
    assert stamp(opened("a", deployment="chat/0")) == "genai-prices 0.2.3 0.25/2/0.025"
    assert stamp(opened("a", deployment="chat/1")) == "settings 7/0"


def test_without_configuration_the_models_own_name_does() -> None:
    assert stamp(opened("a", model="openai/gpt-5-mini", deployment="openai/gpt-5-mini/0"), ()).endswith("0.25/2/0.025")
    assert stamp(opened("a", model="local", provider="local", deployment="local/0"), ()) == "local"


def test_a_deployment_that_has_changed_hands_prices_nothing() -> None:
    assert stamp(opened("a", deployment="chat/1", provider="groq", model="chat")) == ""
