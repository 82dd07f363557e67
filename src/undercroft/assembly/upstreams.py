"""How the deployments are: logged when it changes, measured at each scrape, asked where the operator wants that."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Final

from undercroft.assembly.beside import alongside
from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, UpstreamError
from undercroft.gateway.balance import Balancer, View
from undercroft.gateway.call import Deployment, Model
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.checks import Check
from undercroft.gateway.state import Condition, Why
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.metrics import Metrics

MS_PER_S: Final = 1000
US_PER_S: Final = 1_000_000
REFRESH_S: Final = 1.0


def tell_change(deployment: Deployment, condition: Condition, why: Why, seconds: float) -> None:
    """Logs that a deployment is left alone, or back: once for each change. Of failed checks `_marker` tells more."""
    logger = get_logger("undercroft.upstream")
    named = {"deployment": deployment.id, "provider": deployment.provider}
    if condition == "ok":
        logger.info("deployment_is_back", **named)
    elif condition != "unhealthy":
        logger.warning("deployment_rests", **named, condition=condition, why=why, seconds=round(seconds, 3))


class UpstreamMetrics:
    """What `/metrics` says of each configured deployment; nothing is counted while calls run."""

    def __init__(self, metrics: Metrics) -> None:
        self._catalogue: Catalogue | None = None
        at = ("model", "deployment")
        self._active = metrics.gauge("ai_upstream_active_calls", "Calls that a deployment answers right now.", at)
        self._waiting = metrics.gauge("ai_upstream_waiting_calls", "Calls that wait for a place, by deployment.", at)
        self._conditions = metrics.gauge(
            "ai_upstream_condition",
            "Processes for which a deployment is ok, resting, open, half_open or unhealthy.",
            (*at, "condition"),
        )
        self._rest = metrics.gauge(
            "ai_upstream_rest_seconds",
            "For how much longer a deployment is left alone, summed over the processes.",
            at,
            scale=MS_PER_S,
        )
        self._first_token = metrics.gauge(
            "ai_upstream_first_token_average_seconds",
            "Moving average of the time to a stream's first piece, summed over the processes that have measured it.",
            at,
            scale=US_PER_S,
        )
        self._measuring = metrics.gauge(
            "ai_upstream_first_token_average_processes", "How many processes have measured that average.", at
        )
        self._shown: dict[tuple[str, str], Condition] = {}
        metrics.before_scrape(self.refresh)

    def show(self, catalogue: Catalogue) -> None:
        """From now on these deployments; those that are no more are at 0 from then on."""
        self._catalogue = catalogue
        there = {(model.name, each.id) for model in catalogue.models() for each in model.deployments}
        for at in self._shown.keys() - there:
            self._conditions.labels(*at, self._shown.pop(at)).set(0)
            for gauge in (self._active, self._waiting, self._rest, self._first_token, self._measuring):
                gauge.labels(*at).set(0)

    def refresh(self) -> None:
        """Takes down how the deployments are now."""
        if self._catalogue is None:
            return
        for model in self._catalogue.models():
            for place, view in enumerate(model.balancer.view()):
                self._show(model, place, view)

    def _show(self, model: Model, place: int, view: View[Deployment]) -> None:
        at = (model.name, view.item.id)
        self._active.labels(*at).set(view.active)
        self._waiting.labels(*at).set(model.line.waiting_for(place) if model.line is not None else 0)
        shown = self._shown.get(at)
        if shown != view.condition:
            if shown is not None:
                self._conditions.labels(*at, shown).set(0)
            self._conditions.labels(*at, view.condition).set(1)
            self._shown[at] = view.condition
        self._rest.labels(*at).set(round(view.rests_for_s * MS_PER_S))
        self._first_token.labels(*at).set(round(view.first_token_s * US_PER_S))
        self._measuring.labels(*at).set(1 if view.first_token_s else 0)


@contextlib.asynccontextmanager
async def refreshing(metrics: Metrics, *, clock: Clock) -> AsyncIterator[None]:
    """Takes down each second how things are, beside the block: the scrape of another worker shows it."""

    async def run() -> None:
        while True:
            metrics.refresh()
            await clock.sleep(REFRESH_S)

    async with alongside(run(), raises=False):
        yield


@contextlib.asynccontextmanager
async def checking(
    settings: Settings, catalogue: Catalogue, *, clock: Clock, rng: random.Random
) -> AsyncIterator[None]:
    """Asks those deployments how they are that are to be asked, beside the block. Each process does it for itself."""
    checks = checks_of(settings, catalogue, clock=clock, rng=rng)
    async with alongside(*(check.run() for check in checks), raises=False):
        yield


def checks_of(settings: Settings, catalogue: Catalogue, *, clock: Clock, rng: random.Random) -> list[Check]:
    """A check for each deployment with `health_check_s`. Raises ConfigurationError for one that cannot be asked."""
    found = []
    configured = {model.name: model for model in catalogue.models()}
    for model in settings.models:
        balancer = configured[model.name].balancer
        for deployment, to in zip(configured[model.name].deployments, model.deployments, strict=True):
            if to.health_check_s is None:
                continue
            if deployment.check is None:
                raise ConfigurationError(
                    f"health_check_s of {deployment.id}: provider '{to.provider}' cannot be asked how it is.",
                    hint="Leave it out: failed calls tell as well.",
                )
            mark = _marker(balancer, deployment)
            found.append(Check(deployment.check, mark, every_s=to.health_check_s, clock=clock, rng=rng))
    return found


def _marker(balancer: Balancer[Deployment], deployment: Deployment) -> Callable[[UpstreamError | None], None]:
    def mark(error: UpstreamError | None) -> None:
        if error is not None:
            get_logger("undercroft.upstream").warning(
                "deployment_is_unhealthy", deployment=deployment.id, provider=deployment.provider, reason=str(error)
            )
        balancer.mark(deployment, healthy=error is None)

    return mark
