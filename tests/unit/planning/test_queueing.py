"""Closed forms against published values, against each other, and against their limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.planning import queueing
from undercroft.planning.queueing import Queue, erlang_b, erlang_c, lognormal, quantile, scv_of

EXPONENTIAL = [-math.log(1 - (place + 0.5) / 4000) for place in range(4000)]


@pytest.mark.parametrize(
    ("servers", "load", "published"),
    [
        # Traffic (in Erlangs) at which a full group of trunks loses this share of calls: the usual Erlang B tables.
        (1, 0.0101, 0.01),
        (2, 0.153, 0.01),
        (5, 1.36, 0.01),
        (10, 4.46, 0.01),
        (20, 12.0, 0.01),
        (50, 37.9, 0.01),
        (100, 84.1, 0.01),
        (5, 2.22, 0.05),
        (10, 6.22, 0.05),
        (20, 15.2, 0.05),
    ],
)
def test_erlang_b_is_that_of_the_published_tables(servers: int, load: float, published: float) -> None:
    # The tables give the load to three digits.
    assert erlang_b(servers, load * 0.995) <= published * 1.001
    assert erlang_b(servers, load * 1.005) >= published * 0.999


@pytest.mark.parametrize(
    ("servers", "load", "exact"),
    [
        (1, 0.5, 1 / 2),
        (2, 1.0, 1 / 3),
        (3, 2.0, 4 / 9),
        (2, 1.5, 9 / 14),
        (4, 3.0, 27 / 53),
        (5, 4.0, 128 / 231),
        (10, 8.0, 0.40918),
        (20, 16.0, 0.25610),
    ],
)
def test_erlang_c_is_that_of_textbooks(servers: int, load: float, exact: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(exact, rel=1e-4)


def test_erlang_c_is_the_sum_it_stands_for() -> None:
    servers, load = 7, 5.5
    full = load**servers / math.factorial(servers) * servers / (servers - load)
    rest = sum(load**busy / math.factorial(busy) for busy in range(servers))

    assert erlang_c(servers, load) == pytest.approx(full / (rest + full), rel=1e-12)


@given(st.integers(1, 500), st.floats(0.01, 0.99))
def test_more_servers_at_the_same_utilisation_make_fewer_wait(servers: int, utilisation: float) -> None:
    assert erlang_c(servers + 1, utilisation * (servers + 1)) <= erlang_c(servers, utilisation * servers) + 1e-12


@given(st.integers(1, 300), st.floats(0.0, 400.0))
def test_a_probability_is_one(servers: int, load: float) -> None:
    assert 0 <= erlang_b(servers, load) <= 1
    assert 0 <= erlang_b(servers, load) <= erlang_c(servers, load) <= 1


@pytest.mark.parametrize("utilisation", [0.9, 0.99, 0.995])
def test_the_limit_for_many_servers_goes_on_where_the_sum_ends(utilisation: float) -> None:
    servers = queueing.MANY_SERVERS
    exact, limit = erlang_c(servers, utilisation * servers), erlang_c(servers + 1, utilisation * (servers + 1))

    assert limit == pytest.approx(exact, rel=0.01, abs=1e-9)


def test_one_exponential_server_is_the_textbook_m_m_1() -> None:
    queue = Queue(rate=0.8, service_s=1.0, servers=1)

    assert queue.mean_wait_s == pytest.approx(4.0)
    assert queue.mean_length == pytest.approx(3.2)
    # The response of M/M/1 is exponential with mean 1 / (1 - 0.8).
    for share in (0.5, 0.95, 0.99):
        assert queue.response_quantile_s(share, EXPONENTIAL) == pytest.approx(-math.log(1 - share) * 5, rel=1e-3)


@pytest.mark.parametrize("scv", [0.0, 0.5, 1.0, 4.0])
def test_the_mean_wait_of_one_server_is_pollaczek_and_khinchines(scv: float) -> None:
    queue = Queue(rate=0.7, service_s=1.0, servers=1, scv=scv)

    second_moment = scv + 1
    assert queue.mean_wait_s == pytest.approx(0.7 * second_moment / 2 / (1 - 0.7))


def test_an_empty_line_answers_as_fast_as_the_work_itself() -> None:
    services = lognormal(0.2, 1.0)
    queue = Queue(rate=1e-9, service_s=0.2, servers=4)

    for share in (0.5, 0.95, 0.99):
        assert queue.response_quantile_s(share, services) == pytest.approx(quantile(services, share), rel=1e-3)


def test_too_much_load_waits_without_end() -> None:
    queue = Queue(rate=5, service_s=1, servers=4)

    assert not queue.is_stable
    assert queue.waits == 1
    assert math.isinf(queue.mean_wait_s)
    assert math.isinf(queue.response_quantile_s(0.5, [1.0]))


@given(st.floats(0.05, 0.9), st.floats(0.0, 4.0), st.integers(1, 40))
def test_a_higher_percentile_is_never_shorter_and_more_load_never_faster(
    utilisation: float, scv: float, servers: int
) -> None:
    services = lognormal(1.0, scv, points=64)
    queue = Queue(rate=utilisation * servers, service_s=1.0, servers=servers, scv=scv)
    busier = Queue(rate=min(0.99, utilisation * 1.1) * servers, service_s=1.0, servers=servers, scv=scv)
    p50, p95 = queue.response_quantile_s(0.5, services), queue.response_quantile_s(0.95, services)

    assert p50 <= p95 + 1e-9
    assert p95 <= busier.response_quantile_s(0.95, services) + 1e-6


@given(st.floats(1e-4, 1e4), st.floats(0.05, 4.0))
def test_a_lognormal_sample_has_its_mean_and_nearly_its_spread(mean: float, scv: float) -> None:
    sample = lognormal(mean, scv)

    assert sum(sample) / len(sample) == pytest.approx(mean)
    assert sample == sorted(sample)
    # The far tail is cut off: the sample's spread stays below.
    assert 0.6 * scv < scv_of(sample) <= scv * 1.01
