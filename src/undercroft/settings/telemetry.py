"""`[telemetry]`: logs, metrics, traces, errors."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from undercroft.settings.section import Seconds, Section


class Telemetry(Section):
    """Logs, metrics, traces, errors."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: readable on a terminal, JSON otherwise."""
    log_content: bool = False
    """Log prompts and completions."""
    metrics_token: SecretStr | None = None
    """Opens /metrics and /docs to a scraper without a key."""
    sentry_dsn: SecretStr | None = None
    """Where Sentry takes errors (SENTRY_DSN)."""
    otlp_endpoint: str | None = None
    """Where an OpenTelemetry collector listens (OTEL_EXPORTER_OTLP_ENDPOINT); default: traces stay in the database."""
    otlp_protocol: Literal["http", "grpc"] = "http"
    """How it is spoken to: Protobuf over HTTP (usually port 4318) or gRPC (4317)."""
    otlp_headers: dict[str, SecretStr] = {}
    """Sent along, e.g. `{ "authorization" = "env:COLLECTOR_TOKEN" }`."""
    traces: bool = True
    """Whether calls, jobs and vector searches are traced at all."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the traces that are kept, where the caller has not decided; failed and slow calls always are."""
    trace_slow_s: Seconds = 10.0
    """What takes as long as this is slow."""
    traces_kept: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    """Traces in the database, the latest; for when there is no collector."""
    errors_kept: Annotated[int, Field(ge=0, le=100_000)] = 500
    """Kinds of error in the database, those that were seen last."""
    log_sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the calls that went well whose `api_request` line is written; all others always are."""
