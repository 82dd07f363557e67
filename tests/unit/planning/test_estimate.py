"""The short answer, from Python."""

import csv
import gzip
import importlib.util
import math
from types import ModuleType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import undercroft
from tests.support.checkout import ROOT
from undercroft.errors import InvalidRequest
from undercroft.planning.estimate import calculate_cost, estimate_resources, unit_prices
from undercroft.planning.instances import DATA, sources

AMOUNTS = st.floats(min_value=0, max_value=1e9, allow_nan=False)


def test_a_million_requests_of_a_fifth_of_a_second() -> None:
    found = undercroft.estimate_resources(1_000_000, 200)

    # 1e6 / 86,400 * 3 requests a second of 0.2 s, cores 80 % busy; 2 GB a core; 1 kB a request for 30 days.
    assert found["cpu_cores"] == 8.7
    assert found["memory_gb"] == 17.4
    assert found["storage_gb"] == 30.0
    cores = 1e6 / 86_400 * 3 * 0.2 / 0.8
    assert found["estimated_monthly_cost"] == pytest.approx(undercroft.calculate_cost(cores, cores * 2, 30.0))


def test_waiting_is_not_computing() -> None:
    waiting, computing = estimate_resources(1e6, 2000, cpu_fraction=0.05), estimate_resources(1e6, 100)

    assert waiting == computing


def test_what_is_kept_shorter_takes_less_room() -> None:
    assert estimate_resources(1e6, 200, retention_days=3)["storage_gb"] == 3.0


def test_a_small_load_still_costs_something() -> None:
    assert estimate_resources(10, 1)["estimated_monthly_cost"] > 0


@pytest.mark.parametrize("value", [-1, -0.001, math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("field", ["daily_requests", "avg_processing_time_ms", "peak_factor"])
def test_what_is_no_amount_is_refused_by_name(field: str, value: float) -> None:
    inputs = {"daily_requests": 1000.0, "avg_processing_time_ms": 100.0, "peak_factor": 3.0} | {field: value}

    with pytest.raises(ValueError, match=field) as refused:
        estimate_resources(**inputs)
    assert isinstance(refused.value, InvalidRequest)
    assert refused.value.param == field


def test_a_refusal_names_limit_and_nearest_value() -> None:
    with pytest.raises(ValueError, match=r"^cpu_cores is -2: it must be from 0 to 1e\+10; the nearest is 0\.$"):
        calculate_cost(-2, 1, 1)


def test_a_text_is_no_number() -> None:
    with pytest.raises(TypeError, match="daily_requests must be a number, not str"):
        estimate_resources("many", 1)  # type: ignore[arg-type]


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_more_of_anything_never_costs_less(cores: float, memory: float, storage: float, more: float) -> None:
    cost = calculate_cost(cores, memory, storage)

    assert calculate_cost(cores + more, memory, storage) >= cost
    assert calculate_cost(cores, memory + more, storage) >= cost
    assert calculate_cost(cores, memory, storage + more) >= cost


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """What puts another table into the package."""
    spec = importlib.util.spec_from_file_location("refresh_instances", ROOT / "scripts/refresh_instances.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"provider": "mars"}, "line 2: provider 'mars' is none of aws, azure, gcp"),
        ({"usd_hour": "0"}, "line 2: usd_hour is '0', not a positive number"),
        ({"vcpu": ""}, "line 2: vcpu is '', not a positive number"),
    ],
)
def test_a_table_that_is_wrong_is_not_put_into_the_package(
    script: ModuleType, change: dict[str, str], complaint: str
) -> None:
    values = ("aws", "us-east-1", "m7i.large", "2", "8", "amd64", "", "0", "0", "0.1", "")
    row = dict(zip(script.COLUMNS, values, strict=True))

    assert script.faults([row]) == []
    assert script.faults([row | change]) == [complaint]
    assert script.faults([row, row]) == ["line 3: aws/us-east-1/m7i.large is there twice"]
    assert "the columns must be" in script.faults([{"price": "1"}])[0]


def test_the_unit_prices_are_those_of_the_table(script: ModuleType) -> None:
    with gzip.open(DATA / "instance_prices.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert script.faults(rows) == []
    made = script.unit_prices(rows, sources()["aws"].as_of)
    assert msgspec.convert(made, type(unit_prices())) == unit_prices()


def test_the_unit_prices_give_the_family_back_they_were_fitted_to() -> None:
    month = calculate_cost(2, 8, 0)

    assert month == pytest.approx(0.1008 * 730, rel=0.02)  # m7i.large
