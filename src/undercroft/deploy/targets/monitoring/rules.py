"""Every recording rule and every alert."""

from collections.abc import Iterator
from typing import Final

from undercroft.deploy.targets.monitoring import objectives
from undercroft.deploy.targets.monitoring.rule import Alert, Proof, Recording
from undercroft.settings.slo import Slo

JOB: Final = "undercroft"
"""What the scrape is called."""
_AT: Final = 'endpoint="/v1/chat/completions",model="chat",provider="openai"'
_WHO: Final = {"model": "chat", "provider": "openai"}


def recordings(slo: Slo) -> list[Recording]:
    """What dashboards and alerts share."""
    return [
        Recording("ai:calls:rate5m", "sum by (model, provider) (rate(ai_api_calls_total[5m]))"),
        Recording("ai:faults:rate5m", "sum by (model, provider) (rate(ai_api_faults_total[5m]))"),
        Recording("ai:fault_ratio:rate5m", "ai:faults:rate5m / ai:calls:rate5m"),
        Recording("ai:cost_usd:rate1h", "sum(rate(ai_cost_usd_total[1h]))"),
        Recording(
            "ai:latency_seconds:p95_5m",
            "histogram_quantile(0.95, sum by (model, le) (rate(ai_api_latency_seconds_bucket[5m])))",
        ),
        Recording(
            "ai:first_token_seconds:p95_5m",
            "histogram_quantile(0.95, sum by (model, le) (rate(ai_time_to_first_token_seconds_bucket[5m])))",
        ),
        *objectives.recordings(slo),
    ]


def long_recordings(slo: Slo) -> list[Recording]:
    """What is worked out less often."""
    return list(objectives.long_recordings(slo))


def alerts(slo: Slo) -> list[Alert]:
    """All of them, the promises first."""
    return [*objectives.alerts(slo), *_calls(), *_money(), *_jobs(), *_own()]


def _calls() -> Iterator[Alert]:
    yield Alert(
        "UndercroftUpstreamFails",
        "ai:fault_ratio:rate5m > 0.05 and ai:calls:rate5m > 0.01",
        "2m",
        "page",
        "More than one call in twenty to {{ $labels.model }} at {{ $labels.provider }} fails.",
        Proof({f"ai_api_calls_total{{{_AT}}}": "0+60x30", f"ai_api_faults_total{{{_AT}}}": "0+6x30"}, "20m", (_WHO,)),
    )
    yield Alert(
        "UndercroftErrorSpike",
        "sum(rate(ai_api_errors_total[5m])) > 5 * sum(rate(ai_api_errors_total[1h] offset 10m)) "
        "and sum(rate(ai_api_errors_total[5m])) > 0.1",
        "5m",
        "ticket",
        "Five times as many calls fail as in the hour before, callers' mistakes included.",
        Proof({f'ai_api_errors_total{{{_AT},type="x"}}': "0+1x120 120+60x30"}, "132m"),
    )
    yield Alert(
        "UndercroftBreakerOpen",
        'max by (model, deployment) (ai_upstream_condition{condition=~"open|unhealthy"}) > 0',
        "1m",
        "ticket",
        "{{ $labels.deployment }} is not asked: it failed too often, or says that it is not well.",
        Proof(
            {'ai_upstream_condition{model="chat",deployment="chat/0",condition="open"}': "0 1x10"},
            "5m",
            ({"model": "chat", "deployment": "chat/0"},),
        ),
    )


def _money() -> Iterator[Alert]:
    yield Alert(
        "UndercroftBudgetSpent",
        'sum by (model) (increase(ai_limit_refusals_total{kind="budget"}[15m])) > 0',
        "1m",
        "ticket",
        "Calls to {{ $labels.model }} are turned away because a budget is spent.",
        Proof({f'ai_limit_refusals_total{{{_AT},kind="budget"}}': "0+1x30"}, "10m", ({"model": "chat"},)),
    )
    yield Alert(
        "UndercroftSpendAnomaly",
        "ai:cost_usd:rate1h > 3 * avg_over_time(ai:cost_usd:rate1h[7d] offset 1h) and ai:cost_usd:rate1h * 3600 > 1",
        "15m",
        "ticket",
        "The last hour costs more than three times what an hour has cost in the week before.",
        Proof({f"ai_cost_usd_total{{{_AT}}}": "0+0.15x40 6+15x8"}, "645m", step="15m"),
    )


def _jobs() -> Iterator[Alert]:
    yield Alert(
        "UndercroftJobsWait",
        "max by (queue) (ai_job_queue_age_seconds) > 300",
        "5m",
        "ticket",
        "The oldest job in {{ $labels.queue }} has waited for more than five minutes.",
        Proof({'ai_job_queue_age_seconds{queue="default"}': "0+60x30"}, "15m", ({"queue": "default"},)),
    )
    yield Alert(
        "UndercroftJobsDie",
        'sum by (kind) (increase(ai_jobs_total{outcome="dead"}[15m])) > 0',
        "1m",
        "ticket",
        "Jobs of kind {{ $labels.kind }} have failed for good.",
        Proof({'ai_jobs_total{kind="chat",queue="default",outcome="dead"}': "0+1x30"}, "10m", ({"kind": "chat"},)),
    )


def _own() -> Iterator[Alert]:
    yield Alert(
        "UndercroftDown",
        f'up{{job="{JOB}"}} == 0',
        "2m",
        "page",
        "{{ $labels.instance }} does not answer.",
        Proof({f'up{{job="{JOB}",instance="ai:8000"}}': "1 0x10"}, "5m", ({"job": JOB, "instance": "ai:8000"},)),
    )
    yield Alert(
        "UndercroftLedgerLags",
        "max(ai_ledger_lag_seconds) > 60",
        "5m",
        "page",
        "Calls have ended more than a minute ago and are not in the ledger; budgets do not see them.",
        Proof({"ai_ledger_lag_seconds": "0+60x30"}, "15m"),
    )
    yield Alert(
        "UndercroftEventLoopBlocked",
        "histogram_quantile(0.99, sum by (le) (rate(ai_event_loop_lag_seconds_bucket[5m]))) > 0.25",
        "5m",
        "ticket",
        "Something blocks the event loop for a quarter of a second and more, and every call with it.",
        Proof(
            {
                'ai_event_loop_lag_seconds_bucket{le="0.25"}': "0+60x30",
                'ai_event_loop_lag_seconds_bucket{le="0.5"}': "0+120x30",
                'ai_event_loop_lag_seconds_bucket{le="+Inf"}': "0+120x30",
            },
            "15m",
        ),
    )
    yield Alert(
        "UndercroftRecallLow",
        'sum by (store) (rate(ai_vector_recall_ratio_bucket{le="0.9"}[1h])) '
        "/ sum by (store) (rate(ai_vector_recall_ratio_count[1h])) > 0.1",
        "30m",
        "ticket",
        "More than one probe in ten finds less than nine tenths of what an exact search finds in {{ $labels.store }}.",
        Proof(
            {
                'ai_vector_recall_ratio_bucket{store="embedded",le="0.9"}': "0+1x200",
                'ai_vector_recall_ratio_count{store="embedded"}': "0+2x200",
            },
            "120m",
            ({"store": "embedded"},),
        ),
    )
    yield Alert(
        "UndercroftTelemetryDropped",
        "sum by (signal) (increase(ai_telemetry_dropped_total[15m])) > 0",
        "5m",
        "ticket",
        "{{ $labels.signal }} are thrown away: whoever takes them is slower than they come.",
        Proof({'ai_telemetry_dropped_total{signal="spans"}': "0+10x30"}, "15m", ({"signal": "spans"},)),
    )
