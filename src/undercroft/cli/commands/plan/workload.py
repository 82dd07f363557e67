"""Options of the command line as a Workload and what else a plan is made from."""

from argparse import Namespace
from dataclasses import dataclass
from typing import Any, Final

from undercroft.cli.output import Output
from undercroft.errors import InvalidRequest
from undercroft.planning.gpu import SelfHosted, read_self_hosted
from undercroft.planning.own_prices import OwnPrices, read_prices
from undercroft.planning.token_prices import TokenCost, token_cost
from undercroft.planning.workload import Workload, workload_of

FIELDS: Final = {
    "daily_requests": "daily_requests",
    "avg_ms": "avg_ms",
    "peak_factor": "peak_factor",
    "cpu_fraction": "cpu_fraction",
    "scv": "service_scv",
    "p95_target_ms": "p95_target_ms",
    "tokens_in": "tokens_in",
    "tokens_out": "tokens_out",
    "model": "model",
    "retention_days": "retention_days",
    "cores": "cores_per_replica",
    "concurrency": "concurrency_per_replica",
    "vectors": "vectors",
    "dimensions": "vector_dimensions",
    "response_bytes": "response_bytes",
    "provider_rpm": "provider_requests_per_minute",
    "scale_up": "scale_up_s",
}
"""Option -> field of a Workload."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    workload: Workload
    prices: OwnPrices
    tokens: TokenCost | None
    hosted: SelfHosted | None


def asked(options: Namespace, out: Output) -> Asked:
    """Raises InvalidRequest, ConfigurationError and NotFound for what cannot be used."""
    measured: dict[str, Any] = {}
    if options.from_telemetry:
        from undercroft.cli.commands.plan.telemetry import measured_fields

        measured = measured_fields(options, out)
    given = {field: value for option, field in FIELDS.items() if (value := getattr(options, option)) is not None}
    if options.curve is not None:
        given["curve"] = _weights(options.curve)
    workload = workload_of(given, measured)
    prices = read_prices(options.prices)
    tokens = None
    if workload.model:
        from undercroft.clock import SystemClock  # it brings asyncio along, for which most estimates have no use
        from undercroft.ledger.prices import PriceBook

        tokens = token_cost(
            workload.model,
            tokens_in=workload.tokens_in,
            tokens_out=workload.tokens_out,
            prices=prices,
            book=PriceBook(),
            now_us=SystemClock().now_us(),
        )
    hosted = read_self_hosted(options.self_host) if options.self_host is not None else None
    return Asked(workload, prices, tokens, hosted)


def _weights(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InvalidRequest(
            f"--curve {text!r} is no list of numbers; write 24 of them, e.g. 1,1,1,…", param="curve"
        ) from None
