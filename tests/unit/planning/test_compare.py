"""The same workload in several places."""

import math
from xml.etree import ElementTree as ET

import pytest

from tests.unit.planning.test_plan import HOSTED
from undercroft.planning.bounds import OutOfRange
from undercroft.planning.compare import compare, cost_chart, fleet, gpu_usd_month
from undercroft.planning.instances import CLOUDS, DEFAULT_REGION
from undercroft.planning.own_prices import NONE, OwnPrices, ServerlessPrice
from undercroft.planning.token_prices import TokenCost
from undercroft.planning.workload import Workload

WORKLOAD = Workload(daily_requests=1e5, avg_ms=200, tokens_in=500, tokens_out=200, model="openai/gpt-5-mini")
BOUGHT = TokenCost(usd=0.0005, source="the book")


def test_offers_are_ranked_and_what_has_no_price_is_not() -> None:
    found = compare(WORKLOAD, prices=NONE, tokens=BOUGHT, hosted=HOSTED)
    prices = [each.usd_month for each in found.offers]
    known = [price for price in prices if price is not None]

    assert known == sorted(known)
    assert prices[len(known) :] == [None] * 3, "three clouds' functions"
    assert "serverless aws" in found.warnings[0]
    assert {each.form for each in found.offers} == {"containers", "Kubernetes", "serverless", "own GPUs", "API tokens"}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_fleet_holds_the_peak_and_none_of_one_type_is_cheaper(cloud: str) -> None:
    workload = Workload(daily_requests=3e6, avg_ms=200)
    count, instance = fleet(workload, cloud, DEFAULT_REGION[cloud])
    cores = math.ceil(3e6 / 86_400 * 3 * 0.2 / 0.8)

    assert count * instance.vcpu >= cores
    assert count * instance.memory_gib >= 2 * cores
    assert not instance.is_burstable


def test_a_price_of_your_own_ranks_functions() -> None:
    prices = OwnPrices(serverless={"aws": ServerlessPrice(usd_per_gb_second=1e-5, usd_per_million_requests=0.2)})
    found = compare(WORKLOAD, prices=prices)
    functions = next(each for each in found.offers if each.form == "serverless" and each.provider == "aws")

    requests = 1e5 * 365 / 12
    assert functions.usd_month == pytest.approx(requests * 0.2 * 1e-5 + requests / 1e6 * 0.2)
    assert any(each.than == "serverless on aws" for each in found.break_evens)


def test_own_gpus_break_even_where_their_cost_is_that_of_the_tokens() -> None:
    from msgspec.structs import replace

    found = compare(WORKLOAD, prices=NONE, tokens=BOUGHT, hosted=HOSTED)
    (point,) = found.break_evens
    assert point.daily_requests is not None

    def difference(requests: float) -> float:
        return (gpu_usd_month(replace(WORKLOAD, daily_requests=requests), HOSTED) or 0) - requests * 365 / 12 * 0.0005

    assert difference(point.daily_requests) <= 0
    assert difference(point.daily_requests * 0.95) > 0


def test_what_always_or_never_costs_less_is_said_so() -> None:
    dear = compare(WORKLOAD, prices=NONE, tokens=TokenCost(usd=1000.0, source=""), hosted=HOSTED)
    cheap = compare(WORKLOAD, prices=NONE, tokens=TokenCost(usd=1e-9, source=""), hosted=HOSTED)

    assert dear.break_evens[0].how == "always"
    assert cheap.break_evens[0].how == "never"


def test_an_unknown_region_is_refused_with_the_nearest() -> None:
    with pytest.raises(OutOfRange, match="region 'westeurop' is not known; the nearest is 'westeurope'"):
        compare(WORKLOAD, prices=NONE, regions={"azure": "westeurop"})


def test_the_chart_has_a_line_for_every_known_cost() -> None:
    chart = ET.fromstring(cost_chart(WORKLOAD, prices=NONE, tokens=BOUGHT, hosted=HOSTED))
    lines = chart.findall("{http://www.w3.org/2000/svg}polyline")

    assert len(lines) == 5  # three clouds, own GPUs, tokens
