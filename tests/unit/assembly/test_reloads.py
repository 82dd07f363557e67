"""What is under way is counted; which configuration is in force, and why another is not, is known."""

import asyncio

from tests.support.clock import ManualClock
from undercroft.assembly.reloads import Refusal, Reloads, UnderWay
from undercroft.telemetry.metrics import Metrics


def is_refused(reloads: Reloads) -> bool:
    return reloads.refusal is not None


def test_it_is_over_when_the_last_that_began_has_ended() -> None:
    async def main() -> None:
        under_way = UnderWay()
        under_way.begin()
        under_way.begin()
        waiting = asyncio.create_task(under_way.over())
        await asyncio.sleep(0)
        under_way.end()
        await asyncio.sleep(0)
        assert not waiting.done()
        under_way.end()
        async with asyncio.timeout(10):
            await waiting

    asyncio.run(main())


def test_it_is_over_at_once_when_nothing_is_under_way() -> None:
    async def main() -> None:
        under_way = UnderWay()
        under_way.begin()
        under_way.end()
        async with asyncio.timeout(10):
            await under_way.over()

    asyncio.run(main())


def test_a_refusal_stays_known_until_a_configuration_is_applied_and_both_are_counted() -> None:
    clock = ManualClock()
    metrics = Metrics(clock=clock)
    reloads = Reloads(generation=1, metrics=metrics, clock=clock)
    started_us = reloads.loaded_us
    clock.advance(5)
    reloads.refused("undercroft.toml:3: server.port takes a number")
    assert (reloads.generation, reloads.loaded_us) == (1, started_us)
    assert reloads.refusal == Refusal(started_us + 5_000_000, "undercroft.toml:3: server.port takes a number")

    clock.advance(5)
    reloads.applied(2)
    assert (reloads.generation, reloads.loaded_us) == (2, started_us + 10_000_000)
    assert not is_refused(reloads)
    scrape = metrics.render()[1].decode()
    assert 'ai_config_reloads_total{outcome="applied"} 1' in scrape
    assert 'ai_config_reloads_total{outcome="refused"} 1' in scrape
