"""The dashboards: each panel is a question that somebody asks at three in the morning."""

from typing import Final

from undercroft.deploy.targets.monitoring.objectives import objectives
from undercroft.deploy.targets.monitoring.panel import Dashboard, Line, Panel, Unit
from undercroft.settings.slo import Slo

CACHE_READ_SHARE: Final = (
    'sum(rate(ai_tokens_total{class="cache_read"}[1h])) / sum(rate(ai_tokens_total{class="input"}[1h]))'
)
SEARCH_P95: Final = "histogram_quantile(0.95, sum by (store, operation, le) (rate(ai_vector_query_seconds_bucket[5m])))"
MEAN_RECALL: Final = (
    "sum by (store) (rate(ai_vector_recall_ratio_sum[1h])) / sum by (store) (rate(ai_vector_recall_ratio_count[1h]))"
)


def dashboards(slo: Slo) -> list[Dashboard]:
    """All of them."""
    return [_overview(), _cost(), _models(), _jobs(), _vectors(), _slo(slo)]


def _panel(title: str, *lines: tuple[str, str], unit: Unit = "short", meaning: str = "") -> Panel:
    return Panel(title, tuple(Line(*line) for line in lines), unit, meaning=meaning)


def _stat(title: str, expression: str, unit: Unit = "short") -> Panel:
    return Panel(title, (Line(expression),), unit, "stat")


def _overview() -> Dashboard:
    return Dashboard(
        "overview",
        "Overview",
        (
            _stat("Calls a second", "sum(rate(ai_api_calls_total[5m]))", "reqps"),
            _stat("Faults", "sum(rate(ai_api_faults_total[5m])) / sum(rate(ai_api_calls_total[5m]))", "percentunit"),
            _stat("Under way", "sum(ai_active_requests)"),
            _stat("USD in the last hour", "ai:cost_usd:rate1h * 3600", "currencyUSD"),
            _panel(
                "Calls by route", ("sum by (endpoint) (rate(ai_api_calls_total[5m]))", "{{endpoint}}"), unit="reqps"
            ),
            _panel("Errors by type", ("sum by (type) (rate(ai_api_errors_total[5m]))", "{{type}}"), unit="reqps"),
            _panel(
                "How long calls take",
                *(
                    (
                        f"histogram_quantile({share}, sum by (le) (rate(ai_api_latency_seconds_bucket[5m])))",
                        f"{share:.0%}",
                    )
                    for share in (0.5, 0.95, 0.99)
                ),
                unit="s",
            ),
            _panel(
                "How long until they begin to answer",
                *(
                    (
                        f"histogram_quantile({share}, sum by (le) (rate(ai_time_to_first_token_seconds_bucket[5m])))",
                        f"{share:.0%}",
                    )
                    for share in (0.5, 0.95, 0.99)
                ),
                unit="s",
            ),
            _panel(
                "Turned away by limits and budgets",
                ("sum by (kind) (rate(ai_limit_refusals_total[5m]))", "{{kind}}"),
                unit="reqps",
            ),
            _panel(
                "Answered without a provider",
                ("sum by (kind) (rate(ai_cache_hits_total[5m]))", "{{kind}}"),
                ("sum(rate(ai_cache_misses_total[5m]))", "not in the cache"),
                unit="reqps",
            ),
            _panel(
                "Found by guards",
                ("sum by (rule, action) (rate(ai_guard_finds_total[5m]))", "{{rule}} {{action}}"),
                unit="reqps",
            ),
            _panel("The ledger is behind by", ("max(ai_ledger_lag_seconds)", ""), unit="s"),
            _panel(
                "The event loop is late by (99 %)",
                ("histogram_quantile(0.99, sum by (le) (rate(ai_event_loop_lag_seconds_bucket[5m])))", ""),
                unit="s",
            ),
            _panel("CPU", ("sum by (instance) (rate(process_cpu_seconds_total[5m]))", "{{instance}}")),
            _panel("Memory", ("sum by (instance) (process_resident_memory_bytes)", "{{instance}}"), unit="bytes"),
            _panel("Telemetry dropped", ("sum by (signal) (rate(ai_telemetry_dropped_total[5m]))", "{{signal}}")),
        ),
    )


def _cost() -> Dashboard:
    return Dashboard(
        "cost",
        "Cost",
        (
            _stat("USD in the last day", "sum(increase(ai_cost_usd_total[1d]))", "currencyUSD"),
            _stat("USD a month, at this hour's pace", "ai:cost_usd:rate1h * 86400 * 30", "currencyUSD"),
            _stat(
                "USD a call, over a day",
                "sum(increase(ai_cost_usd_total[1d])) / sum(increase(ai_api_calls_total[1d]))",
                "currencyUSD",
            ),
            _panel(
                "USD an hour by model",
                ("sum by (model) (rate(ai_cost_usd_total[1h])) * 3600", "{{model}}"),
                unit="currencyUSD",
            ),
            _panel(
                "USD an hour by provider",
                ("sum by (provider) (rate(ai_cost_usd_total[1h])) * 3600", "{{provider}}"),
                unit="currencyUSD",
            ),
            _panel(
                "USD an hour saved by the cache",
                ("sum by (kind) (rate(ai_cache_saved_usd_total[1h])) * 3600", "{{kind}}"),
                unit="currencyUSD",
            ),
            _panel("Tokens by class", ("sum by (class) (rate(ai_tokens_total[5m]))", "{{class}}")),
            _panel(
                "Share of input read from providers' caches",
                (CACHE_READ_SHARE, ""),
                unit="percentunit",
            ),
            _panel(
                "Refused because a budget is spent",
                ('sum by (model) (rate(ai_limit_refusals_total{kind="budget"}[5m]))', "{{model}}"),
                unit="reqps",
            ),
        ),
    )


def _models() -> Dashboard:
    return Dashboard(
        "models",
        "Models and providers",
        (
            _panel("Calls", ("ai:calls:rate5m", "{{model}} {{provider}}"), unit="reqps"),
            _panel("Share that fails", ("ai:fault_ratio:rate5m", "{{model}} {{provider}}"), unit="percentunit"),
            _panel("Time to an answer (95 %)", ("ai:latency_seconds:p95_5m", "{{model}}"), unit="s"),
            _panel("Time to the first token (95 %)", ("ai:first_token_seconds:p95_5m", "{{model}}"), unit="s"),
            _panel(
                "Tokens a second of a stream (median)",
                (
                    "histogram_quantile(0.5, sum by (model, le) (rate(ai_output_tokens_per_second_bucket[5m])))",
                    "{{model}}",
                ),
                unit="tokens",
            ),
            _panel(
                "Deployments that are not well",
                (
                    'max by (deployment, condition) (ai_upstream_condition{condition!="ok"})',
                    "{{deployment}} {{condition}}",
                ),
            ),
            _panel(
                "Attempts, retries, fallbacks",
                ("sum(rate(ai_upstream_attempts_total[5m]))", "attempts"),
                ("sum(rate(ai_upstream_retries_total[5m]))", "retries"),
                ("sum(rate(ai_fallbacks_total[5m]))", "fallbacks"),
                unit="reqps",
            ),
            _panel(
                "Calls at and before deployments",
                ("sum by (deployment) (ai_upstream_active_calls)", "{{deployment}} active"),
                ("sum by (deployment) (ai_upstream_waiting_calls)", "{{deployment}} waiting"),
            ),
        ),
    )


def _jobs() -> Dashboard:
    return Dashboard(
        "jobs",
        "Jobs",
        (
            _panel("Jobs by state", ("max by (queue, state) (ai_job_queue_depth)", "{{queue}} {{state}}")),
            _panel("The oldest has waited for", ("max by (queue) (ai_job_queue_age_seconds)", "{{queue}}"), unit="s"),
            _panel("Running", ("sum by (kind) (ai_jobs_running)", "{{kind}}")),
            _panel("How they end", ("sum by (outcome) (rate(ai_jobs_total[5m]))", "{{outcome}}"), unit="reqps"),
            _panel(
                "Wait before a run (95 %)",
                ("histogram_quantile(0.95, sum by (queue, le) (rate(ai_job_wait_seconds_bucket[5m])))", "{{queue}}"),
                unit="s",
            ),
            _panel(
                "How long a run takes (95 %)",
                ("histogram_quantile(0.95, sum by (kind, le) (rate(ai_job_duration_seconds_bucket[5m])))", "{{kind}}"),
                unit="s",
            ),
            _panel("Dead jobs that are kept", ("max by (queue) (ai_jobs_dead)", "{{queue}}")),
        ),
    )


def _vectors() -> Dashboard:
    return Dashboard(
        "vectors",
        "Vectors",
        (
            _panel(
                "Searches",
                ("sum by (store, operation) (rate(ai_vector_query_seconds_count[5m]))", "{{operation}}"),
                unit="reqps",
            ),
            _panel(
                "How long a search takes (95 %)",
                (SEARCH_P95, "{{store}} {{operation}}"),
                unit="s",
            ),
            _panel(
                "Searches that fail",
                ("sum by (store, type) (rate(ai_vector_query_errors_total[5m]))", "{{type}}"),
                unit="reqps",
            ),
            _panel(
                "Recall of probes (mean)",
                (MEAN_RECALL, "{{store}}"),
                unit="percentunit",
            ),
        ),
    )


def _slo(slo: Slo) -> Dashboard:
    panels: list[Panel] = []
    for each in objectives(slo):
        panels += [
            Panel(
                f"{each.title}: budget left",
                (Line(f"ai:slo_{each.key}_budget_left:ratio"),),
                "percentunit",
                "gauge",
                f"Of {1 - each.target:.3%} of the calls in {slo.window_days} days.",
            ),
            _panel(
                f"{each.title}: bad calls, as a multiple of the budget",
                *((f"{each.ratio(window)} / {each.budget}", window) for window in ("5m", "1h", "6h", "3d")),
                meaning="1 uses up the whole budget in the window; 14.4 a fiftieth of it in an hour.",
            ),
        ]
    return Dashboard("slo", "Service level objectives", tuple(panels))
