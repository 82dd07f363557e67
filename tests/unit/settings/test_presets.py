"""The table of services is sound, and everything that follows from it does."""

from urllib.parse import urlsplit

import pytest

from tests.support.checkout import ROOT
from undercroft.egress.origin import parse_base_url
from undercroft.ledger.prices import PriceBook
from undercroft.settings.model import PROVIDERS
from undercroft.settings.presets import PRESETS
from undercroft.settings.variables import PROVIDER_KEYS

NOW_US = 1_790_000_000_000_000


@pytest.mark.parametrize("name", PRESETS)
def test_a_row_has_an_address_that_can_be_called(name: str) -> None:
    url = PRESETS[name].base_url
    if url is not None:
        parse_base_url(url)
        assert not url.endswith("/")
        is_here = urlsplit(url).hostname == "127.0.0.1"
        assert url.startswith("http://" if is_here else "https://")
        assert is_here or PRESETS[name].key_variable is not None


def test_no_row_leads_back_to_the_port_undercroft_itself_listens_on() -> None:
    assert all(":8000" not in (preset.base_url or "") for preset in PRESETS.values())


@pytest.mark.parametrize("name", PRESETS)
def test_a_rows_name_is_a_provider_and_its_variable_is_read(name: str) -> None:
    assert name in PROVIDERS
    variable = PRESETS[name].key_variable
    assert variable is None or PROVIDER_KEYS[variable] == name


def test_no_two_services_share_a_variable() -> None:
    variables = [preset.key_variable for preset in PRESETS.values() if preset.key_variable]
    assert len(variables) == len(set(variables))


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.chat_model])
def test_a_model_that_answers_unasked_is_one_whose_price_is_known(name: str) -> None:
    preset, prices = PRESETS[name], PriceBook()
    for model in filter(None, (preset.chat_model, preset.embedding_model)):
        if model != "openrouter/auto":  # whatever it chooses has its own price
            assert prices.price(name, model, at_us=NOW_US) is not None


@pytest.mark.parametrize("name", PRESETS)
def test_a_quirk_is_said_once(name: str) -> None:
    quirks = PRESETS[name].quirks
    assert not quirks.lacks & quirks.labels
    assert not quirks.renames.keys() & (quirks.lacks | quirks.labels)
    assert not set(quirks.renames.values()) & (quirks.lacks | quirks.labels)


def test_the_reference_names_every_service() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    assert all(f"| `{name}` |" in page for name in PRESETS)
