import asyncio

from tests.support.clock import ManualClock
from undercroft.assembly.process_metrics import EVERY_S, LedgerLag, watching_loop
from undercroft.record import CallRecord, Who
from undercroft.telemetry.metrics import Metrics


def ended_at(clock: ManualClock) -> list[CallRecord]:
    return [
        CallRecord(id="r", started_us=clock.now_us() - 5, duration_us=5, who=Who(), endpoint="/v1/x", model="chat"),
    ]


def shown(metrics: Metrics, name: str) -> float:
    text = metrics.render()[1].decode()
    return next(float(line.split(" ")[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def test_the_ledgers_lag_is_the_age_of_the_oldest_call_that_no_pass_has_moved() -> None:
    clock = ManualClock()
    metrics = Metrics(clock=clock)
    lag = LedgerLag(metrics, clock=clock)
    assert shown(metrics, "ai_ledger_lag_seconds") == 0
    lag.ended(ended_at(clock))
    clock.advance(3)
    assert shown(metrics, "ai_ledger_lag_seconds") == 3
    lag.passing()
    lag.ended(ended_at(clock))  # too late for the pass that is under way
    clock.advance(2)
    assert shown(metrics, "ai_ledger_lag_seconds") == 5
    lag.passed()
    assert shown(metrics, "ai_ledger_lag_seconds") == 2
    lag.passing()
    clock.advance(1)
    assert shown(metrics, "ai_ledger_lag_seconds") == 3, "a pass that fails changes nothing"
    lag.passing()
    lag.passed()
    assert shown(metrics, "ai_ledger_lag_seconds") == 0


def test_what_blocks_the_event_loop_is_measured() -> None:
    clock = ManualClock()
    metrics = Metrics(clock=clock)

    async def run() -> None:
        async with watching_loop(metrics, clock=clock):
            await asyncio.sleep(0)
            clock.advance(EVERY_S + 0.3)
            for _ in range(3):
                await asyncio.sleep(0)

    asyncio.run(run())
    assert shown(metrics, "ai_event_loop_lag_seconds_count") == 1
    assert shown(metrics, "ai_event_loop_lag_seconds_sum") == 0.3
