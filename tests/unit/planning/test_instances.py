"""Instance types: which fits, and what to know about it."""

import pytest

import undercroft
from undercroft.planning.bounds import OutOfRange
from undercroft.planning.instances import CLOUDS, cautions, instances, named, recommend_instance, regions, sources


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        ("inference", "t3.medium"),
        ("training", "p3.2xlarge"),
        ("embedding", "g4dn.xlarge"),
        ("api", "t3.small"),
        ("anything else", "t3.micro"),
    ],
)
def test_the_usual_type_of_a_kind_of_work(workload: str, name: str) -> None:
    assert undercroft.select_instance_type(workload) == name


def test_with_more_said_the_type_comes_from_the_data() -> None:
    name = undercroft.select_instance_type("api", provider="gcp", region="europe-west4", vcpu=4, memory_gib=16)
    chosen = named(name, "gcp", "europe-west4")

    assert chosen.vcpu >= 4
    assert chosen.memory_gib >= 16


@pytest.mark.parametrize("provider", CLOUDS)
@pytest.mark.parametrize("workload", ["inference", "training", "embedding", "api", "batch"])
def test_a_recommendation_fits_has_a_price_a_date_and_reasons(provider: str, workload: str) -> None:
    found = undercroft.recommend_instance(workload, provider=provider)

    assert found.usd_month == pytest.approx(found.instance.usd_hour * 730)
    assert found.as_of == sources()[provider].as_of
    assert found.reasons
    assert all(each.usd_hour >= found.instance.usd_hour for each in found.alternatives)
    assert (found.instance.gpu_count > 0) == (workload in ("training", "embedding"))


def test_nothing_cheaper_of_a_current_generation_would_have_fitted() -> None:
    found = recommend_instance("api", vcpu=8, memory_gib=32, arch="amd64")
    fitting = [
        each
        for each in instances("aws")
        if each.vcpu >= 8 and each.memory_gib >= 32 and each.arch == "amd64" and not each.gpu_count
    ]

    cheaper = [each.name for each in fitting if each.usd_hour < found.instance.usd_hour]
    assert all(any("previous generation" in caution for caution in cautions(name)) for name in cheaper)


def test_a_type_without_a_row_is_unknown_and_old() -> None:
    warnings = " ".join(cautions("p3.2xlarge"))

    assert "price is unknown" in warnings
    assert "previous generation" in warnings
    assert any("p3.2xlarge" in each for each in recommend_instance("training").warnings)


def test_a_burstable_type_is_told() -> None:
    for name, provider in (("t3.small", "aws"), ("Standard_B2s", "azure"), ("e2-small", "gcp")):
        assert any("burstable" in each for each in cautions(name, provider)), name
    assert cautions("m7i.large") == ()


def test_steady_work_gets_no_burstable_type() -> None:
    assert not recommend_instance("inference").instance.is_burstable


def test_spot_is_ranked_by_spot_where_it_is_known_and_told_where_not() -> None:
    google = recommend_instance("api", provider="gcp", vcpu=4, memory_gib=8, spot=True)
    amazon = recommend_instance("api", provider="aws", spot=True)

    assert google.instance.usd_hour_spot is not None
    assert google.usd_month == pytest.approx(google.instance.usd_hour_spot * 730)
    assert any("spot price is unknown" in each for each in amazon.warnings)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"provider": "awss"}, "provider 'awss' is not known; the nearest is 'aws'"),
        ({"region": "us-east-9"}, "region 'us-east-9' is not known; the nearest is 'us-east-1'"),
        ({"provider": "azure", "region": "westeurop"}, "the nearest is 'westeurope'"),
        ({"vcpu": -1}, "vcpu is -1: it must be from 0.1 to 4096; the nearest is 0.1"),
        ({"memory_gib": float("nan")}, "memory_gib is nan"),
        ({"gpu_memory_gib": 9000}, "No instance in aws/us-east-1 has .* the nearest is p6-b300.48xlarge"),
    ],
)
def test_what_nobody_rents_out_is_refused_with_what_comes_nearest(asked: dict[str, object], complaint: str) -> None:
    with pytest.raises(OutOfRange, match=complaint):
        recommend_instance("api", **asked)  # type: ignore[arg-type]  # checked at run time


def test_an_unknown_type_is_refused_with_the_nearest() -> None:
    with pytest.raises(OutOfRange, match=r"instance 'm7i\.larg' is not known; the nearest is 'm7i\.large'"):
        named("m7i.larg")


def test_the_data_is_what_its_notice_says() -> None:
    counts = {cloud: sum(len(instances(cloud, region)) for region in regions()[cloud]) for cloud in CLOUDS}

    assert counts == {"aws": 1345, "azure": 9118, "gcp": 3753}
    assert all(each.usd_hour > 0 for cloud in CLOUDS for each in instances(cloud))
