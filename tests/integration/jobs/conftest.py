"""One cluster for each way of delivery: each of its faults is over when the next one comes."""

from collections.abc import Iterable, Iterator

import pytest

from tests.support.background import upstream_in_background
from tests.support.job_cluster import Cluster, Delivery, running_cluster
from tests.support.upstream import Request, Step, Upstream, error_response, well_behaved


def slow(request: Request) -> Iterable[Step]:
    return [0.2, *well_behaved(request)]


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    """A provider that is slow, silent, or has nothing good to say, by the model's name."""
    with upstream_in_background() as running:
        running.answers = {"slow": slow, "refuses": lambda _: [error_response("422 Unprocessable Entity", "not that")]}
        yield running


@pytest.fixture(scope="package")
def models(upstream: Upstream) -> str:
    return "".join(
        f'[[models]]\nname = "{name}"\n[[models.deployments]]\n'
        f'provider = "openai_compatible"\nbase_url = "{upstream.base_url}"\n'
        for name in ("slow", "silent", "refuses", "web-page")
    )


@pytest.fixture(scope="package")
def celery(tmp_path_factory: pytest.TempPathFactory, models: str) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("celery"), "celery", models=models) as cluster:
        yield cluster


@pytest.fixture(scope="package")
def postgres(tmp_path_factory: pytest.TempPathFactory, models: str) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("postgres"), "postgres", models=models) as cluster:
        yield cluster


@pytest.fixture(params=["celery", "postgres"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    delivery: Delivery = request.param
    found: Cluster = request.getfixturevalue(delivery)
    for worker in found.workers:
        worker.wait_until_ready()
    return found
