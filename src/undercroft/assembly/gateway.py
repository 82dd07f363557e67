"""Makes the gateway of a configuration."""

import random
from typing import TYPE_CHECKING

from undercroft.assembly.guards import Told, guard_of
from undercroft.assembly.lasting import Lasting
from undercroft.assembly.rates import BookedRates
from undercroft.assembly.release_stages import stages_of_releases
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.gateway import Booking, Checks, Gateway, Releases, Watching
from undercroft.gateway.stages.allow import Allow
from undercroft.gateway.stages.sample import Sample
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.assembly.online_evaluation import OnlineJudge


def gateway_of(
    lasting: Lasting, settings: Settings, catalogue: Catalogue, *, judge: "OnlineJudge | None", rng: random.Random
) -> Gateway:
    """Raises ConfigurationError for guards that cannot be used."""
    process, books, telemetry, offices = lasting.process, lasting.books, lasting.telemetry, lasting.offices
    limits = settings.limits
    estimate = limits.estimate if limits.unknown_price == "estimate" else None
    rates = BookedRates(books.prices, models=settings.models, estimate=estimate)
    told = Told(settings, telemetry.metrics)
    guard = guard_of(settings, told)
    allow = Allow(
        lasting.registry.limits,
        books.limiter,
        catalogue=catalogue,
        rates=rates,
        may_call=lasting.registry.keys.may_call,
        usual_output=limits.output_tokens,
        unknown_price=limits.unknown_price,
    )
    return Gateway(
        catalogue,
        booking=Booking(books.recorder, rates, settings.ledger.tags),
        watching=Watching(telemetry.metrics, telemetry.tracing, lasting.stores.contents.stage()),
        clock=process.clock,
        rng=rng,
        checks=Checks(guard, allow, lasting.stores.answers.stage(rates)),
        releases=Releases(
            offices.releases.book,
            stages_of_releases(settings, guard, offices.knowledge, told=told, clock=process.clock),
            sample=None if judge is None else Sample(judge.wants, judge.take),
            ids=process.ids,
        ),
    )
