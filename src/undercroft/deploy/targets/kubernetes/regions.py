"""Which providers answer in a region, and in which order: `[[models]]` becomes the models of the region."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from undercroft.deploy.topology import Topology

MOST_FALLBACKS: Final = 3
"""A model may name no more."""

Model = dict[str, Any]


def models_of(topology: Topology) -> list[Model]:
    """`[[models]]` as it was written: secrets are still names there."""
    models: list[Model] = tomllib.loads(topology.settings_file or "").get("models", [])
    return models


def problems(topology: Topology) -> Iterator[str]:
    """What is preferred and answers nothing."""
    known = {deployment["provider"] for model in models_of(topology) for deployment in model["deployments"]}
    for region, providers in topology.preferences.items():
        for provider in providers:
            if provider not in known:
                there = f"there are {', '.join(sorted(known))}" if known else "there are no [[models]]"
                yield (
                    f"deploy.preferences.{region} names {provider!r}, which no deployment under [[models]] has; {there}"
                )


def preferring(models: Sequence[Model], providers: Sequence[str]) -> list[Model]:
    """Each model keeps the deployments of the first of these providers that it has; the others become models of their
    own, which answer in this order when it cannot. Providers that are not named come last. What a model falls back to
    by itself comes after them, as far as there is room.
    """
    return [made for model in models for made in _split(model, providers, {each["name"] for each in models})]


def patch(models: Sequence[Model]) -> list[dict[str, Any]]:
    """Tells every container of a Deployment, before what the settings file says."""
    text = json.dumps(models, indent=2, ensure_ascii=False) + "\n"
    variable = {"name": "UNDERCROFT_MODELS", "value": text}
    return [{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": variable}]


def _split(model: Model, providers: Sequence[str], taken: set[str]) -> Iterator[Model]:
    groups = _grouped(model["deployments"], providers)
    (_, first), *others = groups.items()
    if not others:
        yield model
        return
    if len(others) > MOST_FALLBACKS:  # what is asked last is asked together
        *kept, (name, last) = others[:MOST_FALLBACKS]
        others = [*kept, (name, [*last, *(each for _, more in others[MOST_FALLBACKS:] for each in more)])]
    names = [_name(f"{model['name']}-{provider}", taken) for provider, _ in others]
    fallbacks = [*names, *model.get("fallbacks", ())][:MOST_FALLBACKS]
    whole = {key: value for key, value in model.items() if key != "deployments"}
    yield {**whole, "fallbacks": fallbacks, "deployments": first}
    alone = {key: value for key, value in whole.items() if not key.startswith("fallbacks")}
    for name, (_, deployments) in zip(names, others, strict=True):
        yield {**alone, "name": name, "deployments": [_named(model, each) for each in deployments]}


def _grouped(deployments: Sequence[Model], providers: Sequence[str]) -> Mapping[str, list[Model]]:
    found: dict[str, list[Model]] = {provider: [] for provider in providers}
    for deployment in deployments:
        found.setdefault(deployment["provider"], []).append(deployment)
    return {provider: own for provider, own in found.items() if own}


def _named(model: Model, deployment: Model) -> Model:
    """By default a deployment is asked for the public name, which is another one now."""
    return {"model": model["name"], **deployment}


def _name(wanted: str, taken: set[str]) -> str:
    name = wanted
    while name in taken:
        name += "-next"
    taken.add(name)
    return name
