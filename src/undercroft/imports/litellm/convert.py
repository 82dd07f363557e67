"""A LiteLLM proxy's `config.yaml` as an `undercroft.toml`, with a report of what differs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from undercroft.errors import ConfigurationError
from undercroft.imports.litellm import policies
from undercroft.imports.litellm.document import Left, Part, Report, read
from undercroft.imports.litellm.models import Drafted, models_of
from undercroft.imports.litellm.toml import Table, section

KEYS = "virtual keys stand hashed in LiteLLM's database and cannot be read: make new ones with undercroft keys create"


@dataclass(frozen=True, slots=True)
class Imported:
    """The file, and what its reader must know."""

    toml: str
    models: int
    deployments: int
    variables: tuple[str, ...]
    """Environment variables that the file refers to."""
    changed: tuple[Left, ...]
    left: tuple[Left, ...]


def convert(text: str, *, environment: Mapping[str, str]) -> Imported:
    """Raises ConfigurationError where the text is no such configuration, or no model of it can be carried over.

    `environment` is where addresses are looked up that the file only names by their variable; secrets never are.
    """
    report = Report()
    document = Part("", read(text), report)
    models = models_of(document, environment)
    if not models:
        why = f" {report.left[0].where}: {report.left[0].why}." if report.left else ""
        raise ConfigurationError(f"No model of this configuration can be carried over.{why}")
    reliability, access, cache = Table(), Table(), Table()
    rules: list[Table] = []
    router, calls, general = (document.part(f"{name}_settings") for name in ("router", "litellm", "general"))
    other_names = policies.aliases(router, models)
    policies.routing(router, models)
    for part in (calls, router):
        policies.fallbacks(part, models)
        policies.reliability(part, reliability)
    policies.inherit(models, other_names)
    policies.cache(calls, cache)
    policies.access(general, access)
    for part in (calls, general):
        rules += policies.limits(part)
    if calls.flag("drop_params"):
        for model in models.values():
            model.settings["drop_unsupported"] = True
    for part in (router, calls, general):
        policies.leave_rest(part)
    document.part("environment_variables").leave_rest({}, otherwise="set it in the environment or in .env")
    document.leave_rest({}, otherwise="there is nothing like it here")
    report.left.append(Left("virtual keys", KEYS))
    lines = _lines(models, {"reliability": reliability, "access": access, "cache": cache}, rules)
    return Imported(
        toml="\n".join(lines),
        models=len(models),
        deployments=sum(len(model.deployments) for model in models.values()),
        variables=tuple(sorted(report.variables)),
        changed=tuple(report.changed),
        left=tuple(report.left),
    )


def _lines(models: Mapping[str, Drafted], tables: Mapping[str, Table], rules: list[Table]) -> Iterator[str]:
    for name, table in tables.items():
        if table:
            yield from section(f"[{name}]", table)
    for rule in rules:
        yield from section("[[limits.rules]]", rule)
    for model in models.values():
        yield from section("[[models]]", {"name": model.name, **model.settings})
        for deployment in model.deployments:
            yield from section("[[models.deployments]]", deployment)
