"""What is put together from a model's settings, and what is said of its deployments."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from undercroft.assembly import Undercroft, assemble
from undercroft.assembly.upstreams import UpstreamMetrics, checks_of
from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError
from undercroft.gateway.call import Model
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.settings.model import Deployment, Settings
from undercroft.settings.model import Model as ModelSettings
from undercroft.telemetry.metrics import Metrics


def assembled(tmp_path: Path, *deployments: dict[str, Any], **model: Any) -> Model:
    """The model `chat` as `assemble` makes it."""
    written = tuple(Deployment(provider="scripted", **each) for each in deployments)
    settings = Settings(data_dir=tmp_path, models=(ModelSettings(name="chat", deployments=written, **model),))

    async def look() -> Model:
        async with assemble(settings, log_calls=False) as undercroft:
            return next(each for each in undercroft.gateway.catalogue.models() if each.name == "chat")

    return asyncio.run(look())


def one_deployment(tmp_path: Path, **deployment: Any) -> Settings:
    written = Deployment(provider="scripted", **deployment)
    return Settings(data_dir=tmp_path, models=(ModelSettings(name="chat", deployments=(written,)),))


def test_a_model_without_options_has_nothing_to_look_at(tmp_path: Path) -> None:
    model = assembled(tmp_path, {}, {"weight": 3}, strategy="weighted")
    assert model.routing is None
    assert model.balancer.take_at_once() is not None


@pytest.mark.parametrize(
    ("deployment", "options"),
    [
        ({"region": "eu"}, {}),
        ({"tags": ("a",)}, {}),
        ({"context_tokens": 9}, {}),
        ({"capabilities": ("chat",)}, {}),
        ({}, {"sticky": "user"}),
        ({}, {"strategy": "cheapest"}),
    ],
)
def test_options_that_depend_on_the_call_make_a_routing(
    tmp_path: Path, deployment: dict[str, Any], options: dict[str, Any]
) -> None:
    assert assembled(tmp_path, {}, deployment, **options).routing is not None


@pytest.mark.parametrize("deployment", [{"priority": 1}, {"max_concurrency": 2}])
def test_priorities_and_limits_are_looked_at_for_each_call(tmp_path: Path, deployment: dict[str, Any]) -> None:
    model = assembled(tmp_path, {}, deployment)
    assert model.routing is None
    assert model.balancer.take_at_once() is None


def test_what_cannot_be_asked_how_it_is_is_refused_by_name(tmp_path: Path) -> None:
    settings = one_deployment(tmp_path, health_check_s=5)

    async def look() -> None:
        async with assemble(settings, log_calls=False):
            pass

    with pytest.raises(ConfigurationError, match="health_check_s of chat/0: provider 'scripted' cannot be asked"):
        asyncio.run(look())


def test_the_series_of_a_deployment_follow_its_condition(tmp_path: Path) -> None:
    settings = one_deployment(tmp_path)

    async def scrape(undercroft: Undercroft) -> set[str]:
        lines = undercroft.scrape("")[1].decode().splitlines()
        return {line for line in lines if line.startswith("ai_upstream_condition{")}

    async def look() -> None:
        at = 'ai_upstream_condition{model="chat",deployment="chat/0",condition='
        async with assemble(settings, log_calls=False) as undercroft:
            (model,) = (each for each in undercroft.gateway.catalogue.models() if each.name == "chat")
            assert f'{at}"ok"}} 1' in await scrape(undercroft)
            model.balancer.mark(model.deployments[0], healthy=False)
            assert {f'{at}"ok"}} 0', f'{at}"unhealthy"}} 1'} <= await scrape(undercroft)

    asyncio.run(look())


def test_nobody_is_asked_how_it_is_unless_the_operator_wants_it(tmp_path: Path) -> None:
    settings = one_deployment(tmp_path)

    async def look() -> None:
        async with assemble(settings, log_calls=False) as undercroft:
            catalogue = undercroft.gateway.catalogue
            assert checks_of(settings, catalogue, clock=SystemClock(), rng=random.Random(1)) == []

    asyncio.run(look())


def test_what_is_noted_at_each_scrape_is_in_it() -> None:
    metrics = Metrics(clock=SystemClock())
    gauge = metrics.gauge("ai_test_level", "A level.").labels()
    metrics.before_scrape(lambda: gauge.set(7))
    assert "ai_test_level 7" in metrics.render()[1].decode().splitlines()


def test_a_deployment_that_is_no_more_is_shown_as_none(tmp_path: Path) -> None:
    async def look() -> None:
        async with assemble(one_deployment(tmp_path), log_calls=False) as undercroft:
            catalogue = undercroft.gateway.catalogue
            upstreams = UpstreamMetrics(undercroft.metrics)
            upstreams.show(catalogue)
            upstreams.refresh()
            upstreams.show(Catalogue([], defaults=Defaults(chat="", embeddings="", accept_any=False)))
            assert undercroft.metrics.totals().values["ai_upstream_condition"]["chat", "chat/0", "ok"] == [0]

    asyncio.run(look())
