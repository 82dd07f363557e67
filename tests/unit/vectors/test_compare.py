"""A comparison adds up, says what it does not know, and changes its mind with the load."""

import dataclasses
from decimal import Decimal

import pytest

from undercroft.errors import InvalidRequest
from undercroft.vectors.compare import Candidate, Machine, compare
from undercroft.vectors.prices import read_prices
from undercroft.vectors.sizing import STORES, Load, graph_bytes, size_of

LOAD = Load(vectors=5_000_000, dimension=1536, queries_per_s=50, has_filters=True)


def found(vcpu: float, memory_gib: float) -> Machine | None:
    """Two USD a GiB and ten a vCPU, up to 512 GiB."""
    if memory_gib > 512:
        return None
    size = Decimal(round(memory_gib, 6))
    cost = 2 * size + 10 * Decimal(round(vcpu, 6))
    return Machine("made", max(1, round(vcpu)), memory_gib, cost, "a test", "2026-01-01")


def compared(load: Load = LOAD) -> dict[str, Candidate]:
    return {one.name: one for one in compare(load, read_prices(), found)}


def test_every_database_is_compared() -> None:
    names = {"embedded", "qdrant", "pgvector", "weaviate", "pinecone", "weaviate-cloud", "qdrant-cloud"}
    assert set(compared()) == names
    for one in compared().values():
        assert one.reasons
        assert one.risks
        assert one.costs


def test_what_fits_comes_first_and_of_that_what_costs_least() -> None:
    order = compare(LOAD, read_prices(), found)
    good = [one for one in order if one.fit == "good"]
    assert order[: len(good)] == good
    known = [one.usd_month for one in good if one.usd_month is not None]
    assert known == sorted(known)
    assert all(one.usd_month is None for one in good[len(known) :])


def test_an_unknown_price_is_left_out_and_not_guessed() -> None:
    qdrant_cloud = compared()["qdrant-cloud"]
    assert qdrant_cloud.usd_month is None
    assert qdrant_cloud.costs[0].source == "no dated price"
    everything_unknown = {one.name: one for one in compare(LOAD, {}, lambda _vcpu, _gib: None)}
    assert all(one.usd_month is None and not one.is_complete for one in everything_unknown.values())
    without_disk = {key: price for key, price in read_prices().items() if key[0] != "disk"}
    (qdrant,) = [one for one in compare(LOAD, without_disk, found) if one.name == "qdrant"]
    assert qdrant.usd_month == qdrant.costs[0].usd
    assert not qdrant.is_complete


def test_pinecone_is_counted_by_its_own_rules() -> None:
    one_million = Load(vectors=1_000_000, dimension=1536, queries_per_s=1, metadata_bytes=1000)
    pinecone = compared(one_million)["pinecone"]
    reads, storage, writes = (cost.usd for cost in pinecone.costs)
    # 7.15 GB: as many read units for each of the month's 2.628 million queries.
    assert reads == pytest.approx(Decimal("7.152") * Decimal("2.628") * 16, rel=Decimal("0.001"))
    assert storage == pytest.approx(Decimal("7.152") * Decimal("0.33"), rel=Decimal("0.001"))
    assert writes == 0


def test_the_least_that_is_billed_is_billed() -> None:
    small = Load(vectors=1000, dimension=384, queries_per_s=0)
    assert compared(small)["pinecone"].usd_month == 50
    assert compared(small)["weaviate-cloud"].usd_month == 45


def test_one_copy_costs_half_of_two() -> None:
    one, two = (compared(dataclasses.replace(LOAD, copies=copies))["weaviate"] for copies in (1, 2))
    assert two.usd_month == pytest.approx(2 * (one.usd_month or 0), rel=Decimal("0.01"))


def test_the_embedded_store_is_for_one_machine() -> None:
    small = Load(vectors=100_000, dimension=384, queries_per_s=20, copies=1)
    assert compare(small, read_prices(), found)[0].name == "embedded"
    assert compared()["embedded"].fit == "poor"
    huge = dataclasses.replace(LOAD, vectors=10**9)
    assert compared(huge)["qdrant"].machines > 2, "what no machine holds is split"
    assert compared(huge)["embedded"].usd_month is None


def test_a_load_out_of_range_names_its_option() -> None:
    for changes, told in (
        ({"vectors": 0}, "--vectors is 0"),
        ({"dimension": 10**6}, "--dim"),
        ({"queries_per_s": float("nan")}, "--qps is nan"),
        ({"updates_per_s": -1.0}, "--update-rate is -1"),
        ({"copies": 0}, "--copies"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            compare(dataclasses.replace(LOAD, **changes), {}, found)
        assert told in str(caught.value)


def test_sizes_grow_with_what_is_kept() -> None:
    # The graph of 100,000 nodes at M 16: 32 links on the ground and 16/ln(16) above.
    assert graph_bytes(100_000) == pytest.approx(100_000 * 37.77 * 4, rel=0.001)
    for store in STORES:
        one, two = size_of(store, LOAD), size_of(store, dataclasses.replace(LOAD, vectors=2 * LOAD.vectors))
        assert two.memory_bytes > 1.9 * one.memory_bytes
        assert two.disk_bytes == pytest.approx(2 * one.disk_bytes, rel=0.01)
        assert one.memory_bytes < 3 * LOAD.raw_bytes
