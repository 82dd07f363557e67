"""`model_list`: public names with what stands behind them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from undercroft.imports.litellm.document import Part, variable_of
from undercroft.imports.litellm.providers import Place, place_of
from undercroft.imports.litellm.toml import Table, Value
from undercroft.settings.model import LOCAL_MODELS

_MODES: Final = {"chat": None, "responses": None, "completion": "completions", "embedding": "embeddings",
                 "moderation": "moderations"}  # fmt: skip
_PRICES: Final = (
    ("input", "input_cost_per_token"),
    ("output", "output_cost_per_token"),
    ("cache_read", "cache_read_input_token_cost"),
    ("cache_write", "cache_creation_input_token_cost"),
)
_TAG: Final = re.compile(r"[A-Za-z0-9._:/-]{1,100}")
_LEFT: Final = {
    "tpm": "a deployment has no limit of its own here; max_parallel_requests is carried as max_concurrency",
    "rpm": "a deployment has no limit of its own here; max_parallel_requests is carried as max_concurrency",
    "temperature": "callers say it themselves",
    "max_tokens": "callers say it themselves",
    "top_p": "callers say it themselves",
    "max_retries": "tries are set for a model (tries) or all ([reliability])",
    "mock_response": 'take provider = "scripted" with a script',
}


@dataclass(slots=True)
class Drafted:
    """A model on its way into the file."""

    name: str
    deployments: list[Table] = field(default_factory=list)
    settings: Table = field(default_factory=dict)
    has_weights: bool = False


def models_of(document: Part, environment: Mapping[str, str]) -> dict[str, Drafted]:
    """The models in their order. `environment` is where addresses are looked up that the file only refers to."""
    models: dict[str, Drafted] = {}
    for entry in document.parts("model_list"):
        name = entry.text("model_name") or ""
        if not name or "*" in name:
            why = "a name with * stands for many; name each model" if name else "has no model_name"
            entry.leave("", why)
            continue
        if name in LOCAL_MODELS:
            entry.leave("model_name", f"'{name}' is a bundled model's name here; choose another")
            continue
        deployment = _deployment(entry, name, environment)
        if deployment is not None:
            drafted = models.setdefault(name, Drafted(name))
            drafted.deployments.append(deployment)
            drafted.has_weights = drafted.has_weights or "weight" in deployment
    return models


def _deployment(entry: Part, public: str, environment: Mapping[str, str]) -> Table | None:
    params, info = entry.part("litellm_params"), entry.part("model_info")
    mode = info.text("mode") or "chat"
    if mode not in _MODES:
        entry.leave("", f"is for {mode}, for which there is no route here")
        return None
    address = params.text("api_base") or params.text("base_url")
    if address is not None and (variable := variable_of(address)):
        address = environment.get(variable)
        if address is None:
            params.leave(
                "api_base", f"stands in the variable {variable}, which is not set here; set it and import again"
            )
            return None
    place = place_of(params.text("model") or "", address)
    if isinstance(place, str):
        entry.leave("", place)
        return None
    table = _identity(params, place, public)
    if key := _key(params, place):
        table["api_key"] = key
    _traffic(params, table)
    _facts(params, info, table)
    if (kind := _MODES[mode]) is not None:
        table["capabilities"] = [kind]
    for ignored in ("id", "db_model", "base_model", "description"):
        info.take(ignored)
    params.take("custom_llm_provider")
    params.leave_rest(_LEFT, otherwise="there is nothing like it here")
    info.leave_rest({}, otherwise="there is nothing like it here")
    entry.leave_rest({}, otherwise="there is nothing like it here")
    return table


def _identity(params: Part, place: Place, public: str) -> Table:
    table: Table = {"provider": place.provider}
    if place.model != public:
        table["model"] = place.model
    if place.base_url is not None:
        table["base_url"] = place.base_url
    version = params.text("api_version")
    if version is not None and place.provider == "azure":
        if variable_of(version):
            params.leave("api_version", "refers to a variable; write the version itself, or leave it out")
        else:
            table["api_version"] = version
    headers = {**(params.take("extra_headers") or {}), **(params.take("headers") or {})}
    if organisation := params.text("organization"):
        headers["OpenAI-Organization"] = organisation
    kept: dict[str, Value] = {}
    for name, value in headers.items():
        if name.lower() in ("authorization", "api-key", "x-api-key"):
            params.leave(f"headers.{name}", "this header is set by undercroft itself; take api_key")
        elif variable := variable_of(str(value)):
            params.report.variables.add(variable)
            kept[str(name)] = f"env:{variable}"
        else:
            kept[str(name)] = str(value)
    if kept:
        table["headers"] = kept
    return table


def _key(params: Part, place: Place) -> str | None:
    key = params.text("api_key")
    if not key:
        return None
    variable = variable_of(key)
    if variable is None:
        variable = f"{place.provider}_API_KEY".upper()
        if key.lower() in ("none", "fake", "fake-key", "anything", "dummy", "sk-1234", "not-needed"):
            return None
        params.change("api_key", f"stands in the file in clear text; put it into the variable {variable}")
    params.report.variables.add(variable)
    return f"env:{variable}"


def _traffic(params: Part, table: Table) -> None:
    weight = params.number("weight")
    rpm = params.number("rpm")
    if weight is None and rpm is not None and rpm >= 1:
        weight = rpm
        params.change("rpm", "is the deployment's weight now: its share of the calls, and no limit")
    if weight is not None and weight > 0:
        whole = int(weight) if weight == int(weight) else max(1, round(weight * 100))
        table["weight"] = whole
        if whole != weight:
            params.change("weight", f"is {whole}: weights are whole numbers, so all of a model's must be scaled alike")
    if (order := params.number("order")) is not None and order >= 0:
        table["priority"] = int(order)
    if (most := params.number("max_parallel_requests")) is not None and most >= 1:
        table["max_concurrency"] = int(most)
    region, tags = params.text("region_name"), params.take("tags")
    if region and _TAG.fullmatch(region):
        table["region"] = region
    if isinstance(tags, list) and tags:
        fitting = [str(tag) for tag in tags if _TAG.fullmatch(str(tag))]
        table["tags"] = fitting
        if len(fitting) < len(tags):
            params.leave("tags", "a tag is letters, digits and . _ : / - here")


def _facts(params: Part, info: Part, table: Table) -> None:
    """What LiteLLM lets stand in either place."""
    if (context := info.number("max_input_tokens")) is not None and context >= 1:
        table["context_tokens"] = int(context)
    price: dict[str, Value] = {}
    for name, field_name in _PRICES:
        per_token = params.number(field_name)
        beside = info.number(field_name)
        per_token = beside if per_token is None else per_token
        if per_token is not None and per_token >= 0:
            price[name] = _per_million(per_token)
    if price:
        table["price"] = {"input": "0", **price}


def _per_million(per_token: Decimal) -> str:
    amount = (per_token * 1_000_000).quantize(Decimal("0.000000001")).normalize()
    return f"{amount:f}"
