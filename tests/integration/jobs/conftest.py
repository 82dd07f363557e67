"""One cluster for each way of delivery: each of its faults is over when the next one comes."""

from collections.abc import Iterator

import pytest

from tests.support.job_cluster import Cluster, Delivery, running_cluster


@pytest.fixture(scope="package")
def celery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("celery"), "celery") as cluster:
        yield cluster


@pytest.fixture(scope="package")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("postgres"), "postgres") as cluster:
        yield cluster


@pytest.fixture(params=["celery", "postgres"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    delivery: Delivery = request.param
    found: Cluster = request.getfixturevalue(delivery)
    for worker in found.workers:
        worker.wait_until_ready()
    return found
