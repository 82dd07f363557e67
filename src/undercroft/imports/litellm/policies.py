"""`router_settings`, `litellm_settings` and `general_settings`: what holds for all models."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from undercroft.imports.litellm.document import Part, variable_of
from undercroft.imports.litellm.models import Drafted
from undercroft.imports.litellm.toml import Table

_STRATEGIES: Final = {
    "simple-shuffle": "round_robin",
    "least-busy": "least_busy",
    "latency-based-routing": "fastest",
    "cost-based-routing": "cheapest",
}
_PERIODS: Final = {
    "1m": "minute", "60s": "minute", "1h": "hour", "60m": "hour", "24h": "day", "1d": "day", "7d": "week", "1w": "week",
    "30d": "month", "31d": "month", "1mo": "month",
}  # fmt: skip
MOST_FALLBACKS: Final = 3
_FALLBACKS: Final = (
    ("fallbacks", "fallbacks"),
    ("context_window_fallbacks", "fallbacks_on_context"),
    ("content_policy_fallbacks", "fallbacks_on_policy"),
)
_LEFT: Final = {
    "set_verbose": '[telemetry] log_level = "debug" says more',
    "json_logs": '[telemetry] log_format = "json" does this',
    "success_callback": "metrics stand at /metrics, calls in the ledger and the log; events reach webhooks",
    "failure_callback": "metrics stand at /metrics, calls in the ledger and the log; events reach webhooks",
    "callbacks": "metrics stand at /metrics, calls in the ledger and the log; events reach webhooks",
    "redis_host": "set REDIS_URL=redis://host:port/0",
    "redis_port": "set REDIS_URL=redis://host:port/0",
    "redis_password": "set REDIS_URL=redis://:password@host:port/0",
    "redis_url": "set REDIS_URL",
    "enable_pre_call_checks": "context_tokens of a deployment is always looked at",
    "database_url": "undercroft needs a database of its own: set DATABASE_URL to an empty one",
    "database_connection_pool_limit": "[database] pool_size sets this",
    "alerting": "webhooks are told of events: undercroft webhooks add",
    "store_model_in_db": "models stand in the file alone",
    "provider_budget_config": "budgets are for callers here, not for providers",
    "upperbound_key_generate_params": "who may make keys says what they may do",
}


def fallbacks(part: Part, models: Mapping[str, Drafted]) -> None:
    """Carries the three kinds of fallbacks into the models."""
    for theirs, ours in _FALLBACKS:
        given = part.take(theirs)
        if not isinstance(given, list):
            continue
        for entry in given:
            for name, others in entry.items() if isinstance(entry, Mapping) else ():
                _fall_back(part, theirs, ours, str(name), others, models)
    usual = part.take("default_fallbacks")
    if isinstance(usual, list):
        for model in models.values():
            if "fallbacks" not in model.settings:
                _fall_back(part, "default_fallbacks", "fallbacks", model.name, usual, models, is_usual=True)


def _fall_back(
    part: Part, theirs: str, ours: str, name: str, others: Any, models: Mapping[str, Drafted], *, is_usual: bool = False
) -> None:
    model = models.get(name)
    if model is None:
        part.leave(theirs, f"'{name}' is no model that was carried over")
        return
    named = [str(other) for other in others] if isinstance(others, list) else []
    known = list(dict.fromkeys(other for other in named if other in models and other != name))
    for other in named:
        if other not in models:
            part.leave(theirs, f"'{other}', a fallback of '{name}', is no model that was carried over")
    if len(known) > MOST_FALLBACKS and not is_usual:
        part.change(theirs, f"'{name}' has the first {MOST_FALLBACKS} of its {len(known)} fallbacks")
    if known:
        model.settings[ours] = known[:MOST_FALLBACKS]


def reliability(part: Part, table: Table) -> None:
    """Tries and time limits of all models."""
    if (retries := part.number("num_retries")) is not None and retries >= 0:
        table["tries"] = min(int(retries) + 1, 4)
        if retries > 3:
            part.change("num_retries", "a call has four tries in all")
    timeout = part.number("request_timeout")
    again = part.number("timeout")
    timeout = again if timeout is None else timeout
    if timeout is not None and timeout > 0:
        table["whole_answer_timeout_s"] = float(timeout)
    if (first := part.number("stream_timeout")) is not None and first > 0:
        table["first_token_timeout_s"] = float(first)


def routing(part: Part, models: Mapping[str, Drafted]) -> None:
    """How deployments are chosen and left alone."""
    wanted = part.text("routing_strategy") or "simple-shuffle"
    strategy = _STRATEGIES.get(wanted)
    if strategy is None:
        strategy = "least_busy"
        part.change("routing_strategy", f"{wanted} is least_busy now: the deployment with the fewest calls under way")
    part.take("routing_strategy_args")
    failures, rest_s = part.number("allowed_fails"), part.number("cooldown_time")
    for model in models.values():
        chosen = "weighted" if strategy == "round_robin" and model.has_weights else strategy
        if chosen != "round_robin" and len(model.deployments) > 1:
            model.settings["strategy"] = chosen
        breaker: dict[str, int | float] = {}
        if failures is not None and failures >= 0:
            breaker["failures"] = min(int(failures) + 1, 20)
        if rest_s is not None and rest_s > 0:
            breaker["rest_s"] = float(rest_s)
        if breaker:
            model.settings["breaker"] = breaker


def aliases(part: Part, models: dict[str, Drafted]) -> dict[str, str]:
    """Other names of models become models of their own, with the same deployments; which is whose other name."""
    given = part.take("model_group_alias")
    found: dict[str, str] = {}
    for alias, target in given.items() if isinstance(given, Mapping) else ():
        name = str(target.get("model") if isinstance(target, Mapping) else target)
        if name not in models or alias in models:
            part.leave(f"model_group_alias.{alias}", f"'{name}' is no model that was carried over")
            continue
        deployments = [_with_model(each, name) for each in models[name].deployments]
        models[str(alias)] = Drafted(str(alias), deployments, has_weights=models[name].has_weights)
        found[str(alias)] = name
    return found


def inherit(models: Mapping[str, Drafted], aliases: Mapping[str, str]) -> None:
    """What holds of a model holds of its other names."""
    for alias, name in aliases.items():
        settings = {**models[name].settings, **models[alias].settings}
        for key, value in settings.items():
            if isinstance(value, list) and alias in value:
                settings[key] = [each for each in value if each != alias]
        models[alias].settings = settings


def _with_model(deployment: Table, name: str) -> Table:
    return {"provider": deployment["provider"], "model": deployment.get("model", name), **deployment}


def cache(part: Part, table: Table) -> None:
    """`cache` and `cache_params`."""
    is_on, params = part.flag("cache"), part.part("cache_params")
    if not is_on:
        if params:
            params.leave("", "the cache is not switched on")
        return
    table["mode"] = "always"
    kind = params.text("type") or "local"
    if (ttl := params.number("ttl")) is not None and ttl > 0:
        table["ttl_s"] = float(ttl)
    if "redis" in kind:
        part.report.variables.add("REDIS_URL")
        table["store"] = "redis"
    elif kind != "local":
        params.change("type", f"{kind} is no store here: answers are kept in memory, the database or Redis")
    if "semantic" in kind:
        table["semantic"] = True
        params.change("type", "the bundled embedding model finds similar questions, and only those with the same facts")
    params.leave_rest(_LEFT | dict.fromkeys(("host", "port", "password", "url"), "set REDIS_URL=redis://:password@host:port/0"),
                      otherwise="there is nothing like it here")  # fmt: skip


def limits(part: Part) -> Iterator[Table]:
    """Budgets and rates, as `[[limits.rules]]`."""
    for amount, duration, per in (
        ("max_budget", "budget_duration", "organisation"),
        ("max_internal_user_budget", "internal_user_budget_duration", "user"),
    ):
        spend = part.number(amount)
        period = _period(part, duration, part.text(duration))
        if spend is not None and spend > 0:
            yield {"per": per, "period": period, "spend": _usd(spend)}
    keys = part.part("default_key_generate_params")
    yield from _of_each(keys, "key")
    teams = part.part("default_team_params")
    yield from _of_each(teams, "team")
    if (most := part.number("global_max_parallel_requests")) is not None and most >= 1:
        yield {"per": "organisation", "concurrent": int(most)}
    if (most := part.number("max_parallel_requests")) is not None and most >= 1:
        yield {"per": "key", "concurrent": int(most)}


def _of_each(part: Part, per: str) -> Iterator[Table]:
    spend, period = part.number("max_budget"), _period(part, "budget_duration", part.text("budget_duration"))
    if spend is not None and spend > 0:
        yield {"per": per, "period": period, "spend": _usd(spend)}
    rates: Table = {"per": per, "period": "minute"}
    for theirs, ours in (("rpm_limit", "requests"), ("tpm_limit", "tokens"), ("max_parallel_requests", "concurrent")):
        if (most := part.number(theirs)) is not None and most >= 1:
            rates[ours] = int(most)
    if len(rates) > 2:
        yield rates
    part.leave_rest({}, otherwise="say it when a key is made: undercroft keys create")


def _period(part: Part, name: str, duration: str | None) -> str:
    if not duration:
        return "total"
    period = _PERIODS.get(duration)
    if period is None:
        part.change(name, f"{duration} is a month now: periods are minute, hour, day, week, month, total")
        return "month"
    if period != "total":
        part.change(name, f"{duration} is the calendar {period} (UTC) now, not a time since the last reset")
    return period


def _usd(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.000000001')).normalize():f}"


def access(part: Part, table: Table) -> None:
    """`general_settings`."""
    key = part.text("master_key")
    if key:
        variable = variable_of(key) or "UNDERCROFT_MASTER_KEY"
        if variable_of(key) is None:
            part.change("master_key", f"stands in the file in clear text; put it into the variable {variable}")
        table["master_key"] = f"env:{variable}"
        part.report.variables.add(variable)


def leave_rest(part: Part) -> None:
    """Tells what nobody has taken."""
    part.leave_rest(_LEFT, otherwise="there is nothing like it here")
