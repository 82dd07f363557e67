"""What no single setting shows to be wrong: names that refer to nothing, and settings that only work together."""

import json
import re
from collections.abc import Collection, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from undercroft.settings import deployment_rules, guard_rules
from undercroft.settings.database_url import normalise
from undercroft.settings.encryption import ENCRYPTION_KEY_LINE, encryption_keys
from undercroft.settings.explain import did_you_mean, masked_url
from undercroft.settings.locate import Place
from undercroft.settings.model import LOCAL_MODELS, ROLES, Deployment, Model, Settings
from undercroft.settings.presets import PRESETS
from undercroft.settings.secrets import known_text
from undercroft.settings.slo import LATENCY_STEPS_S, Slo
from undercroft.settings.variables import PROVIDER_KEYS

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CREDENTIALS: Final = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key"})
_OUR_HEADERS: Final = _CREDENTIALS | {
    "host", "accept-encoding", "connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
"""Framing, the hop to the next server, and the key: a second word on these would contradict the first."""
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_API_VERSION: Final = re.compile(r"[A-Za-z0-9.-]{1,40}")

Problem = tuple[Place, str]
"""Where, and what is wrong; the words follow the setting's name."""

MASTER_KEY_LINE: Final = "export UNDERCROFT_MASTER_KEY=$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"
SHORT_KEY: Final = 16
KINDS: Final = frozenset({"chat", "completions", "embeddings", "moderations"})

NOT_USED_YET: Final[tuple[Place, ...]] = ()
"""Accepted, because deployments have them, and warned about: this version does nothing with them."""

_USUAL_KEYS: Final = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Of those that answer nobody without one."""


def problems(settings: Settings, *, providers: Collection[str], directory: Path) -> Iterator[Problem]:
    """Everything that keeps these settings from being used. `providers` are the known names."""
    yield from _server(settings)
    yield from _services(settings, directory)
    yield from _jobs(settings)
    yield from _models(settings, providers)
    yield from guard_rules.problems(settings)
    yield from deployment_rules.problems(settings.deploy)
    yield from _slo(settings.slo)
    for provider in settings.provider_keys:
        if provider not in providers:
            yield ("provider_keys", provider), _unknown_provider(provider, providers)
    for place, path in (
        (("egress", "ca_file"), settings.egress.ca_file),
        (("local", "chat_gguf"), settings.local.chat_gguf),
    ):
        if path is not None and not (directory / path.expanduser()).is_file():
            yield place, f"names {directory / path.expanduser()}, and there is no such file"


def cautions(settings: Settings) -> Iterator[Problem]:
    """What works, but hardly as it was meant."""
    master_key = known_text(settings.access.master_key)
    if master_key is not None and len(master_key) < SHORT_KEY:
        yield ("access", "master_key"), f"is shorter than {SHORT_KEY} characters and can be guessed"
    if "azure" in settings.provider_keys and not settings.models:
        yield ("provider_keys", "azure"), "opens no model by itself: [[models]] must say at which base_url"
    for place, deployment in _deployments(settings):
        variable = key_variable(deployment)
        if variable and deployment.api_key is None and deployment.provider not in settings.provider_keys:
            yield place, f"has no key; set {variable}, or api_key here"


def _slo(slo: Slo) -> Iterator[Problem]:
    steps = ", ".join(f"{step:g}" for step in LATENCY_STEPS_S)
    for name, seconds in (("latency_s", slo.latency_s), ("first_token_s", slo.first_token_s)):
        if seconds not in LATENCY_STEPS_S:
            yield ("slo", name), f"takes one of {steps}, got {seconds:g}"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _server(settings: Settings) -> Iterator[Problem]:
    server, master_key = settings.server, settings.access.master_key
    if master_key is None and not is_loopback(server.host):
        yield (
            ("server", "host"),
            f"is {server.host}, which other machines can reach, and there is no master key; type: {MASTER_KEY_LINE}",
        )
    if master_key is not None and not _fits_a_header(master_key.get_secret_value()):
        yield ("access", "master_key"), "takes printable ASCII without spaces, since it travels in a header"
    for role in server.role.split(","):
        if role.strip() not in ("all", *ROLES):
            yield ("server", "role"), f"takes {', '.join(ROLES)}, got {role!r}{did_you_mean(role, ROLES)}"
    yield from _networks(("server", "trusted_proxies"), server.trusted_proxies)
    yield from _networks(("egress", "allow"), settings.egress.allow)
    for position, origin in enumerate(server.cors_origins):
        if not _ORIGIN.fullmatch(origin):
            yield ("server", "cors_origins", position), f"takes an origin such as https://app.test, got {origin!r}"


def _services(settings: Settings, directory: Path) -> Iterator[Problem]:
    if settings.encryption_key is not None:
        try:
            encryption_keys(settings.encryption_key.get_secret_value())
        except ValueError as error:
            yield ("encryption_key",), f"{error}; type: {ENCRYPTION_KEY_LINE}"
    if settings.database.url is not None:
        try:
            normalise(settings.database.url.get_secret_value(), directory=directory)
        except ValueError as error:
            yield ("database", "url"), str(error)
            return
    redis = known_text(settings.redis.url)
    if redis is not None and not redis.startswith(("redis://", "rediss://", "unix://")):
        yield ("redis", "url"), "takes an address such as redis://127.0.0.1:6379/0"
    if settings.jobs.broker_url is not None and not settings.database.is_postgresql:
        yield ("jobs", "broker_url"), "needs PostgreSQL; set DATABASE_URL=postgresql://user:password@host:5432/name"
    if settings.cache.store == "redis" and settings.redis.url is None:
        yield ("cache", "store"), "is redis, and nothing says where that is; set REDIS_URL"
    if settings.cache.store == "memory" and not settings.is_one_process:
        why = "each process would have its own, and an answer could not be removed from all"
        yield ("cache", "store"), f"is memory, and here {why}; take database or redis"
    yield from _vectors(settings)


def _vectors(settings: Settings) -> Iterator[Problem]:
    vectors = settings.vectors
    pgvector = known_text(vectors.pgvector_url)
    if pgvector is not None and not pgvector.startswith("postgres"):
        yield ("vectors", "pgvector_url"), "is no PostgreSQL address: postgresql://user:password@host:5432/name"
    if vectors.store == "pgvector" and vectors.pgvector_url is None and not settings.database.is_postgresql:
        yield ("vectors", "store"), "is pgvector, which needs PostgreSQL; set DATABASE_URL, or pgvector_url here"
    if vectors.store == "qdrant" and not vectors.qdrant_url:
        yield ("vectors", "store"), "is qdrant, and nothing says where that is; set QDRANT_URL"
    if vectors.store == "weaviate" and not vectors.weaviate_url:
        yield ("vectors", "store"), "is weaviate, and nothing says where that is; set WEAVIATE_URL"
    if vectors.store == "pinecone" and not vectors.pinecone_api_key:
        yield ("vectors", "store"), "is pinecone, which needs a key; set PINECONE_API_KEY"
    if vectors.weaviate_url and not vectors.weaviate_url.startswith(("http://", "https://")):
        yield ("vectors", "weaviate_url"), "is no address: it begins with http:// or https://"
    if vectors.qdrant_url and not vectors.qdrant_url.startswith(("http://", "https://")):
        yield ("vectors", "qdrant_url"), "is no address: it begins with http:// or https://"


def _jobs(settings: Settings) -> Iterator[Problem]:
    jobs = settings.jobs
    for setting, names in (
        ("queues", [queue.name for queue in jobs.queues]),
        ("schedules", [schedule.name for schedule in jobs.schedules]),
    ):
        for position, name in enumerate(names):
            if name in names[:position]:
                yield ("jobs", setting, position, "name"), f"is {name!r}, as an earlier one"
    known = jobs.queue_names
    if jobs.delivery == "celery" and jobs.broker_url is None:
        yield ("jobs", "delivery"), "is 'celery' without a broker; set CELERY_BROKER_URL=redis://host:6379/0"
    if jobs.delivery == "postgres" and not settings.database.is_postgresql:
        yield (
            ("jobs", "delivery"),
            "is 'postgres' without it; set DATABASE_URL=postgresql://user:password@host:5432/name",
        )
    for position, queue in enumerate(jobs.serves):
        if queue not in known:
            there = ", ".join(known)
            yield ("jobs", "serves", position), f"is {queue!r}, which is no queue here; there are {there}"
    for position, schedule in enumerate(jobs.schedules):
        place: Place = ("jobs", "schedules", position)
        if schedule.queue not in known:
            there = ", ".join(known)
            yield (*place, "queue"), f"is {schedule.queue!r}, which is no queue here; there are {there}"
        try:
            json.loads(schedule.input)
        except ValueError as error:
            yield (*place, "input"), f"takes JSON: {error}"


def _models(settings: Settings, providers: Collection[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for position, model in enumerate(settings.models):
        place: Place = ("models", position, "name")
        if model.name in LOCAL_MODELS:
            yield place, f"is {model.name!r}, a bundled model's name; choose another"
        if model.name in seen:
            yield place, f"is {model.name!r}, as an earlier one; give one model several deployments instead"
        seen.add(model.name)
        yield from _routing(("models", position), model)
    yield from _fallbacks(settings, seen.union(LOCAL_MODELS))
    for place, deployment in _deployments(settings):
        yield from _deployment(place, deployment, providers)
    yield from _moderation(settings, known=seen.union(LOCAL_MODELS))
    wanted = settings.server.default_model
    # Without [[models]] a key opens every name the price book knows: assembly looks those up.
    is_closed = bool(settings.models) or not settings.provider_keys
    if wanted is not None and is_closed and wanted not in (known := seen.union(LOCAL_MODELS)):
        yield (
            ("server", "default_model"),
            f"is {wanted!r}, which is no model here; there are {', '.join(sorted(known))}{did_you_mean(wanted, known)}",
        )


def _fallbacks(settings: Settings, known: Collection[str]) -> Iterator[Problem]:
    """A fallback's own fallbacks are not followed, so the only loop is a model that names itself."""
    for position, model in enumerate(settings.models):
        for setting in ("fallbacks", "fallbacks_on_context", "fallbacks_on_policy"):
            names: tuple[str, ...] = getattr(model, setting)
            for number, name in enumerate(names):
                place: Place = ("models", position, setting, number)
                if name == model.name:
                    yield place, f"is {name!r}, the model itself: it cannot stand in for itself"
                elif name in names[:number]:
                    yield place, f"is {name!r} a second time"
                elif name not in known:
                    there = ", ".join(sorted(known))
                    yield place, f"is {name!r}, which is no model here; there are {there}{did_you_mean(name, known)}"


def _moderation(settings: Settings, *, known: set[str]) -> Iterator[Problem]:
    wanted = settings.moderation.default_model
    if wanted is not None and (settings.models or not settings.provider_keys) and wanted not in known:
        yield (
            ("moderation", "default_model"),
            f"is {wanted!r}, which is no model here; there are {', '.join(sorted(known))}{did_you_mean(wanted, known)}",
        )
    for position, terms in enumerate(settings.moderation.terms):
        for number, phrase in enumerate(terms.phrases):
            if not any(character.isalnum() for character in phrase):
                place: Place = ("moderation", "terms", position, "phrases", number)
                yield place, f"takes words to look for, got {phrase!r}"


def _deployments(settings: Settings) -> Iterator[tuple[Place, Deployment]]:
    for position, model in enumerate(settings.models):
        for number, deployment in enumerate(model.deployments):
            yield ("models", position, "deployments", number), deployment


def _deployment(place: Place, deployment: Deployment, providers: Collection[str]) -> Iterator[Problem]:
    provider = deployment.provider
    if provider not in providers:
        yield (*place, "provider"), _unknown_provider(provider, providers)
        return
    if deployment.base_url is None and (example := _example_url(provider)):
        yield (*place, "base_url"), f"is missing; {provider} needs it, e.g. {example}"
    if deployment.base_url is not None and (reason := _not_a_base_url(deployment.base_url)):
        yield (*place, "base_url"), f"{reason}, got {masked_url(deployment.base_url)}"
    for name in ("api_key", "base_url", "headers", "health_check_s"):
        if provider in ("local", "local_embedding", "scripted", "rules") and getattr(deployment, name):
            yield (*place, name), f"means nothing for provider {provider!r}"
    for name, value in deployment.headers.items():
        if reason := _not_a_header(name, value.get_secret_value()):
            yield (*place, "headers", name), reason
    if deployment.api_version is not None and provider != "azure":
        yield (*place, "api_version"), f"means nothing for provider {provider!r}, only for 'azure'"
    elif deployment.api_version is not None and not _API_VERSION.fullmatch(deployment.api_version):
        yield (*place, "api_version"), f"takes a version such as 2024-10-21, got {deployment.api_version!r}"
    capabilities = deployment.capabilities
    if capabilities is not None and not {*capabilities} & KINDS:
        yield (*place, "capabilities"), f"names no kind of call; add at least one of {', '.join(sorted(KINDS))}"
    yield from _of_some_only(place, deployment)


def _of_some_only(place: Place, deployment: Deployment) -> Iterator[Problem]:
    """Settings that stand beside a provider that has no use for them."""
    provider = deployment.provider
    if deployment.responses_api is not None and provider not in (*PRESETS, "azure"):
        yield (*place, "responses_api"), f"means nothing for provider {provider!r}"
    if deployment.script is not None and provider != "scripted":
        yield (*place, "script"), f"means nothing for provider {provider!r}, only for 'scripted'"


def key_variable(deployment: Deployment) -> str | None:
    """Where the key of a deployment usually stands; None where it may well do without one."""
    if deployment.base_url is not None and deployment.provider != "azure":
        return None
    return next((name for name, provider in PROVIDER_KEYS.items() if provider == deployment.provider), None)


def _example_url(provider: str) -> str | None:
    """Something like it, for a provider whose address only the operator knows."""
    if provider == "azure":
        return "https://RESOURCE.openai.azure.com"
    preset = PRESETS.get(provider)
    return "http://127.0.0.1:11434/v1" if preset is not None and preset.base_url is None else None


def _not_a_header(name: str, value: str) -> str:
    """Why it cannot be sent along; empty when it can."""
    lower = name.lower()
    if not _HEADER_NAME.fullmatch(name):
        return "is no name of an HTTP header"
    if lower in _OUR_HEADERS or lower.startswith(("content-", "proxy-")):
        return "is set by undercroft itself" + ("; use api_key" if lower in _CREDENTIALS else "")
    if not value.isascii() or not value.isprintable():
        return "takes printable ASCII"
    return ""


def _routing(place: Place, model: Model) -> Iterator[Problem]:
    if model.breaker.failures > model.breaker.calls:
        yield (*place, "breaker", "failures"), f"is more than the {model.breaker.calls} calls that are looked back at"
    if model.strategy == "prompt_size" and not any(each.context_tokens for each in model.deployments):
        yield (*place, "strategy"), "is prompt_size, and no deployment says its context_tokens"


def _unknown_provider(name: str, providers: Collection[str]) -> str:
    return f"takes one of {', '.join(sorted(providers))}, got {name!r}{did_you_mean(name, providers)}"


def _not_a_base_url(url: str) -> str:
    """What is wrong with it; empty when it will do."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "takes an address such as https://api.example.com/v1"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "takes an address such as https://api.example.com/v1"
    if parts.username is not None:
        return "takes no user name or password: use api_key"
    if parts.query or parts.fragment:
        return "takes an address without ? and #"
    return ""


def _networks(place: Place, networks: tuple[str, ...]) -> Iterator[Problem]:
    for position, network in enumerate(networks):
        try:
            ip_network(network)
        except ValueError:
            yield (*place, position), f"takes a network such as 10.0.0.0/8, got {network!r}{_widened(network)}"


def _widened(network: str) -> str:
    try:
        return f"; did you mean {ip_network(network, strict=False)}?"
    except ValueError:
        return ""


def _fits_a_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
