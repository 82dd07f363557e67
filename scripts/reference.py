"""Fills docs/reference with what the code declares: settings, commands, errors, metrics, routes.

usage: python scripts/reference.py

A page is written by hand but for its regions, from `<!-- made: NAME -->` to `<!-- /made -->`. What is declared without
a word about it is reported, here and by tests/docs.
"""

import argparse
import ast
import asyncio
import importlib
import json
import pkgutil
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import undercroft
from undercroft.access.actions import ACTIONS
from undercroft.access.roles import ROLES, Permission
from undercroft.api.manage.rights import demand_of
from undercroft.cli.main import COMMANDS
from undercroft.cli.parser import Parser
from undercroft.errors import ConfigurationError, UndercroftError
from undercroft.settings.described import descriptions
from undercroft.settings.model import (
    PROVIDERS,
    Deployment,
    GuardRule,
    JobQueue,
    JobSchedule,
    Model,
    ModerationTerms,
    Settings,
)
from undercroft.settings.presets import PRESETS, Quirks
from undercroft.settings.releases import OnlineEvaluation
from undercroft.settings.rules import NOT_USED_YET
from undercroft.settings.section import Section
from undercroft.settings.shape import settings_shape
from undercroft.settings.variables import PLAIN, PLAIN_SECRETS, PROVIDER_KEYS, variable_name

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "reference"
SOURCE: Final = ROOT / "src" / "undercroft"
REGION: Final = re.compile(r"(?<=<!-- made: )(?P<name>[a-z-]+) -->\n.*?(?=<!-- /made -->)", re.DOTALL)

PERMISSIONS: Final[Mapping[Permission, str]] = {
    "open": "everybody",
    "ai": "keys with `ai`",
    "scrape": "keys with `scrape`, the metrics token",
    "docs": "keys with `docs`, the metrics token",
    "read": "viewers and above",
    "develop": "developers and above",
    "operate": "operators and above",
    "manage": "admins",
}
"""Who gets through a closed door, by what the route demands."""

EXACT_CODES: Final[Mapping[str, str]] = {
    "*_above_max_length": "A text or list is too long, e.g. `string_above_max_length`.",
    "*_above_max_value": "A number is too large, e.g. `integer_above_max_value`.",
    "*_below_min_length": "A text or list is too short, e.g. `array_below_min_length`.",
    "*_below_min_value": "A number is too small, e.g. `decimal_below_min_value`.",
    "account_exists": "There is an account of this name already.",
    "account_not_found": "There is no account of this name.",
    "address_not_allowed": "The key may be used from other networks only.",
    "csrf_token_wrong": "A change with a session's cookie lacks its `x-csrf-token`, or has a wrong one.",
    "duplicated_name": "A name stands twice in an object of the body.",
    "foreign_origin": "A browser asks on behalf of another site's page.",
    "more_than_its_maker": "Nobody gives away rights or limits that they have not got themselves.",
    "nested_too_deeply": "The body's JSON is nested deeper than `[server.limits] max_json_depth`.",
    "organisation_exists": "There is an organisation of this id already.",
    "route_not_allowed": "The key may use other routes only.",
    "secret_missing": "A deployment names a stored secret that is not there.",
    "secret_not_found": "There is no stored secret of this name.",
    "sign_in_failed": "The name or the password is wrong, or the account is closed.",
    "sign_in_throttled": "There were too many failed sign-ins; `Retry-After` says how long to wait.",
    "background_full": "This process has as many background responses waiting as it may have.",
    "batch_not_cancellable": "The batch has ended, or is about to.",
    "broker_unavailable": "The broker is away; jobs are accepted and run all the same.",
    "background_unavailable": "The server is a function, which ends with each answer: there is no background.",
    "budget_exceeded": "Not so much is left of a budget as this call may cost.",
    "budget_reserved": "Calls under way hold what is left of a budget until they end.",
    "context_length_exceeded": "Prompt and answer do not fit into the model's context.",
    "database_busy": "Others write to the database; the same request again will do.",
    "cache_unavailable": "The store of cached answers is away; calls are answered by their providers.",
    "database_closed": "The server is winding down.",
    "database_timeout": "The database did not answer in time.",
    "database_unavailable": "The database is away, or waits for `undercroft migrate`.",
    "disk_full": "The disk under the data directory or the database is full.",
    "encryption_key_missing": "A secret cannot be stored, because ENCRYPTION_KEY is not set.",
    "empty_*": "A text or list may not be empty, e.g. `empty_string`.",
    "files_unavailable": "The folder for files cannot be used, or an upload took longer than a day.",
    "idempotency_conflict": "The idempotency key was used for another request.",
    "interrupted": "The server was stopped before the answer was complete.",
    "invalid_content_type": "An upload is no form with a boundary.",
    "invalid_form": "The form of an upload cannot be read.",
    "invalid_input_file": "The file that a batch names is not there, too large, or not meant for batches.",
    "invalid_json": "The body is not JSON.",
    "invalid_parameter_combination": "Two parameters exclude each other.",
    "invalid_query": "The query string is not percent-encoded UTF-8.",
    "invalid_type": "A field has another type than the format says.",
    "invalid_url": "A line of a batch names an endpoint that batches cannot be for.",
    "unknown_parameter": "The body has a field that the route does not know.",
    "invalid_value": "A field has a value that it cannot take.",
    "job_not_ended": "The job cannot be retried: it has not ended.",
    "job_succeeded": "The job cannot be retried: it has succeeded.",
    "key_not_found": "There is no virtual key with this id.",
    "ledger_unavailable": "The call's record cannot be written, so the call is not made: nothing is spent unbooked.",
    "limits_unavailable": "This process has lost touch with the store of limits for a moment.",
    "malformed_http": "The request is not HTTP as the standard has it; the connection is closed.",
    "max_tokens_per_request": "The token ids of one request are more than its format allows.",
    "missing_required_parameter": "A field that has no default is missing.",
    "model_busy": "The local model's queue is full.",
    "model_loading": "The local model is still loading.",
    "model_not_allowed": "The key may call other models only.",
    "model_unavailable": "The local model could not be loaded, or is shutting down.",
    "models_unavailable": "The bundled models could not be fetched, or are damaged.",
    "parent_failed": "A job that was to be waited for is dead or cancelled.",
    "previous_response_not_found": "The response to be continued was not stored, has been deleted or has expired.",
    "previous_response_not_ready": "The response to be continued is still being answered.",
    "price_unknown": "The caller has a budget, and nobody knows what the model costs.",
    "request_timeout": "The client stopped in the middle of its request, or its time was up.",
    "unknown_batch": "There is no such batch, or it is another organisation's.",
    "unknown_file": "There is no such file, or it is another organisation's.",
    "trace_not_found": "There is no such trace any more, or it is another organisation's.",
    "unknown_job": "There is no such job, or it is another organisation's.",
    "unknown_job_kind": "Nobody does jobs of this kind.",
    "unknown_file_batch": "There is no such batch of files in this vector store.",
    "unknown_queue": "There is no such queue.",
    "unknown_route": "There is no such path.",
    "unknown_vector_store": "There is no such vector store, or it is another organisation's.",
    "unsupported_parameter": "The model, or a batch, cannot do what a parameter asks for.",
    "unsupported_operation": "The model, or the release that answers, cannot do this kind of call.",
    "embedding_model_differs": "A release's retrieval names another embedding model than its vector store's own.",
    "judge_failed": "The model that was to judge an answer did not answer.",
    "not_recorded": "A test asks for an answer that was never recorded.",
    "no_previous_release": "The alias has no release to go back to.",
    "no_rollout": "The alias has no rollout that this could be done to.",
    "no_stable_release": "The alias has no release yet, so a candidate could be compared with nothing.",
    "release_current": "This release answers for its alias already.",
    "release_not_found": "There is no release of this id.",
    "alias_not_found": "There was never a release for this name.",
    "response_not_found": "Feedback on an id that this server has not given.",
    "rollout_moved": "Somebody else has moved the rollout in between; look again.",
    "rollout_open": "A rollout of the alias is open already.",
    "version_not_found": "There is no version of this name, label or address.",
}
"""What is said in place of an error's own code where more is known; `*` stands for what only the request shows."""


def filled(page: str) -> str:
    """The page with its regions made anew."""
    return REGION.sub(lambda region: f"{region['name']} -->\n\n{REGIONS[region['name']]()}\n\n", page)


def undescribed() -> list[str]:
    """Whatever is declared and not described, each with its kind and name."""
    found = []
    for place, section in _sections():
        found += [f"section [{'.'.join(place)}]"] * (section.__dict__.get("__doc__") is None)
        described = descriptions(section)
        for name, field in section.model_fields.items():
            if name not in described and not _inner(field.annotation):
                found.append(f"setting {'.'.join((*place, name))}")
    for command in _commands():
        found += [f"command {command.name}"] * (not command.meaning)
        found += [f"an example of command {command.name}"] * (not command.example)
        words = (*command.arguments, *command.options)
        found += [f"{name} of command {command.name}" for name, meaning in words if not meaning]
    found += [f"error {error.__qualname__}" for error in _errors() if not error.__dict__.get("__doc__")]
    codes = {_entry(code) for code in _exact_codes()}
    found += [f"error code {code}" for code in codes if code not in EXACT_CODES]
    found += [f"error code {code}, which nobody raises" for code in EXACT_CODES if code not in codes]
    found += [f"metric {each.name}" for each in assembled().metrics if not each.meaning]
    found += [f"route {each.method} {each.path}" for each in assembled().routes if not each.meaning]
    found += [f"permission {name}" for name in get_args(Permission) if name not in PERMISSIONS]
    return found


# Settings


def _settings() -> str:
    return "\n\n".join(f"{_heading(*each)}\n\n{_settings_table(*each)}" for each in _sections())


def _sections() -> Iterator[tuple[tuple[str, ...], type[Section]]]:
    """Every table of the file in its order, the root first."""
    pending: list[tuple[tuple[str, ...], type[Section]]] = [((), Settings)]
    while pending:
        place, section = pending.pop(0)
        yield place, section
        inside = [((*place, name), _inner(field.annotation)) for name, field in section.model_fields.items()]
        pending[:0] = [(inner_place, inner) for inner_place, inner in inside if inner is not None]


def _inner(annotation: object) -> type[Section] | None:
    """The section behind a field: `Server`, `tuple[Model, ...]`, `Price | None`."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _heading(place: Sequence[str], section: type[Section]) -> str:
    if not place:
        return "## At the top\n\nOutside the sections."
    name = ".".join(place)
    title = f"[[{name}]]" if section in _LISTED else f"[{name}]"
    return f"## `{title}`\n\n{_first_line(section)}"


_LISTED: Final = (Model, Deployment, ModerationTerms, GuardRule, JobQueue, JobSchedule, OnlineEvaluation)
"""Sections of which the file may have several."""


def _settings_table(place: Sequence[str], section: type[Section]) -> str:
    rows = []
    described = descriptions(section)
    for name, field in section.model_fields.items():
        at = (*place, name)
        if _inner(field.annotation) or at == ("provider_keys",):
            continue
        variables = [] if place[:1] == ("models",) or section in _LISTED else [variable_name(at)]
        variables += [plain for plain, where in (*PLAIN.items(), *PLAIN_SECRETS.items()) if where == at]
        names = "<br>".join([f"`{name}`", *(f"<small>`{variable}`</small>" for variable in variables)])
        default = "required" if field.is_required() else _as_toml(field.get_default())
        rows.append((names, default, _meaning_of_setting(at, described.get(name, ""), variables)))
    return _table(("setting", "default", "meaning"), rows)


def _meaning_of_setting(at: Sequence[str], description: str, variables: Sequence[str]) -> str:
    for variable in variables:
        description = description.replace(f" ({variable})", "")
    takes = settings_shape().takes(_in_schema(at))
    if not takes.startswith("text"):
        description += f" Takes {takes}."
    is_unused = any(tuple(at[: len(unused)]) == unused for unused in NOT_USED_YET)
    return f"{description} **Not used by this version.**" if is_unused else description


def _in_schema(place: Sequence[str]) -> tuple[str | int, ...]:
    """With an element for each list on the way."""
    lists = ("models", "deployments", "terms", "online")
    return tuple(step for name in place for step in ((name, 0) if name in lists else (name,)))


def _as_toml(value: object) -> str:
    if value is None:
        return "not set"
    return f"`{json.dumps(str(value) if isinstance(value, Path) else value)}`"


def _provider_keys() -> str:
    rows = [(f"`{name}`", f"`{provider}`") for name, provider in PROVIDER_KEYS.items() if provider in PROVIDERS]
    return _table(("variable", "provider"), rows)


def _services() -> str:
    rows = [
        (
            f"`{name}`",
            preset.title,
            f"`{preset.base_url}`" if preset.base_url else "`base_url` says it",
            _quirks(preset.quirks),
        )
        for name, preset in PRESETS.items()
    ]
    return _table(("provider", "service", "address", "differs from OpenAI"), rows)


def _quirks(quirks: Quirks) -> str:
    said = [f"`{ours}` is `{theirs}`" for ours, theirs in quirks.renames.items()]
    said += [f"no {', '.join(f'`{name}`' for name in sorted(quirks.lacks))}"] * bool(quirks.lacks)
    said += ["no `stream_options`"] * (not quirks.stream_options)
    said += ["`developer` is `system`"] * (not quirks.developer)
    said += ["no JSON schemas"] * (not quirks.json_schema)
    said += [f"no labels {', '.join(f'`{name}`' for name in sorted(quirks.labels))}"] * bool(quirks.labels)
    said += [f"also {', '.join(f'`{name}`' for name in sorted(quirks.extras))}"] * bool(quirks.extras)
    return "; ".join(said)


# Commands


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command, or one of its actions, as people type it."""

    name: str
    meaning: str
    example: str
    arguments: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]


def parser_of(name: str) -> Parser:
    """What reads a command's options."""
    command = importlib.import_module(COMMANDS[name][0])
    parser = Parser.for_command(name, command.HELP)
    command.arguments(parser)
    return parser


def examples() -> list[str]:
    """Every line that a `--help` gives as an example."""
    return [line for command in _commands() for line in command.example.splitlines()]


def _command_pages() -> str:
    parts = []
    for command in _commands():
        parts += [f"## `undercroft {command.name}`", command.meaning]
        for title, rows in (("argument", command.arguments), ("option", command.options)):
            if rows:
                parts.append(_table((title, "meaning"), rows))
        parts.append(f"```text\n{command.example}\n```")
    return "\n\n".join(parts)


@cache
def _commands() -> tuple[CommandLine, ...]:
    return tuple(line for name in COMMANDS for line in _command_lines(name, parser_of(name)))


def _command_lines(name: str, parser: argparse.ArgumentParser) -> Iterator[CommandLine]:
    # argparse shows what a parser takes only as a text of its own layout, which changes between Pythons.
    inner: list[CommandLine] = []
    arguments: list[tuple[str, str]] = []
    options: list[tuple[str, str]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for choice, subparser in action.choices.items():
                arguments.append((f"`{choice}`", helps.get(choice, "")))
                inner += _command_lines(f"{name} {choice}", subparser)
        elif action.dest != "help":
            value = "|".join(action.choices) if action.choices else str(action.metavar or action.dest.upper())
            words = [*action.option_strings[-1:], *([] if action.nargs == 0 else [value])]
            (options if action.option_strings else arguments).append((f"`{' '.join(words)}`", action.help or ""))
    example = "\n".join(line.strip() for line in (parser.epilog or "").splitlines()[1:])
    yield CommandLine(name, parser.description or "", example, tuple(arguments), tuple(options))
    yield from inner


# Errors


def _error_tree() -> str:
    rows = [
        (f"`{error.code}`", _status(error), "yes" if error.retryable else "no", f"`{error.kind}`", _meaning(error))
        for error in _errors()
        if "code" in error.__dict__  # the others are told apart inside only
    ]
    return _table(("code", "status", "try again", "type", "meaning"), rows)


def _error_codes() -> str:
    found: dict[str, set[str]] = {}
    for code, errors in _exact_codes().items():
        found.setdefault(_entry(code), set()).update(f"`{error.code}`" for error in errors)
    rows = [
        (f"`{code}`", ", ".join(sorted(instead)), EXACT_CODES.get(code, "")) for code, instead in sorted(found.items())
    ]
    return _table(("code", "instead of", "meaning"), rows)


@cache
def _errors() -> tuple[type[UndercroftError], ...]:
    """The whole tree, parents before children; leaves outside errors.py are known once their modules are imported."""
    for module in pkgutil.walk_packages(undercroft.__path__, "undercroft."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    pending, found = [UndercroftError], []
    while pending:
        error = pending.pop(0)
        found.append(error)
        pending[:0] = sorted(error.__subclasses__(), key=_place)
    return tuple(found)


def _place(error: type[UndercroftError]) -> str:
    """Those of errors.py in its order, then the others by name: not by which module happened to be imported first."""
    return "" if error.__module__ == UndercroftError.__module__ else f"{error.__module__}.{error.__name__}"


def _status(error: type[UndercroftError]) -> str:
    """Errors that have no status of their own end a command, and no request."""
    if error.status != UndercroftError.status or error is UndercroftError:
        return str(error.status)
    return "exit code 2" if issubclass(error, ConfigurationError) else "exit code 1"


def _meaning(error: type[UndercroftError]) -> str:
    if error is UndercroftError:
        return "Something broke that the caller cannot mend; the log has it under the request's id."
    return _first_line(error)


@cache
def _exact_codes() -> Mapping[str, set[type[UndercroftError]]]:
    """Codes given where an error is raised, `*` for what is only known then, with the errors they are given to."""
    tree = {error.__name__: error for error in _errors()}
    given: list[tuple[str, ast.expr]] = []
    makers: dict[str, str] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.FunctionDef(returns=ast.Name(id=returned)):
                    makers[node.name] = returned
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                    given += [(name, keyword.value) for keyword in node.keywords if keyword.arg == "code"]
    found: dict[str, set[type[UndercroftError]]] = {}
    for name, value in given:
        error = tree.get(makers.get(name, name))
        if error is not None:
            for code in _literals(value):
                found.setdefault(code, set()).add(error)
    return found


def _literals(value: ast.expr) -> list[str]:
    match value:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return [*_literals(one), *_literals(other)]
        case ast.JoinedStr(values=parts):
            codes = [""]
            for part in parts:
                inner = _literals(part.value if isinstance(part, ast.FormattedValue) else part) or ["*"]
                codes = [code + each for code in codes for each in inner]
            return codes
    return []


def _entry(code: str) -> str:
    """The key of EXACT_CODES that stands for a code: itself, or the pattern that it is a case of."""
    patterns = [pattern for pattern in EXACT_CODES if "*" in pattern]
    cases = [pattern for pattern in patterns if re.fullmatch(pattern.replace("*", "[a-z]+"), code)]
    return next(iter(cases), code)


# Names in the audit log


def _audit() -> str:
    return _table(("action", "what was done"), [(f"`{name}`", meaning) for name, meaning in ACTIONS.items()])


# Metrics and routes, which only an assembled undercroft has


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One family."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class RouteLine:
    """One method of one path."""

    method: str
    path: str
    permission: Permission
    meaning: str


@dataclass(frozen=True, slots=True)
class Assembled:
    """What a server offers."""

    metrics: tuple[MetricLine, ...]
    routes: tuple[RouteLine, ...]
    openapi: Mapping[str, Any]


def _metrics() -> str:
    rows = [
        (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.meaning)
        for each in assembled().metrics
    ]
    return _table(("metric", "type", "labels", "meaning"), rows)


def _routes() -> str:
    rows = [(f"`{each.method} {each.path}`", PERMISSIONS[each.permission], each.meaning) for each in assembled().routes]
    return _table(("route", "who may, once there is a key", "meaning"), rows)


def _roles() -> str:
    """The table of permissions: route by role."""
    rows = []
    for each in assembled().routes:
        wanted = demand_of(each.method, each.path.removeprefix("/api/v1"))
        is_managed = each.path.startswith("/api/v1/") and not each.path.startswith("/api/v1/jobs")
        note = " of `default`" if is_managed and wanted.installation else ""
        may = [
            f"yes{note}" if each.permission == "open" or each.permission in rights else "no"
            for rights in ROLES.values()
        ]
        nobody = "yes" if each.permission == "open" else "no"
        rows.append((f"`{each.method} {each.path}`", *may, nobody))
    return _table(("route", *ROLES, "nobody"), rows)


@cache
def assembled() -> Assembled:
    """Looks at a server that is put together and never listens."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_assemble(Path(folder)))


async def _assemble(folder: Path) -> Assembled:
    from undercroft.api import routes
    from undercroft.api.app import Application
    from undercroft.api.openapi import document
    from undercroft.assembly import assemble

    # A scripted model, so that no weights are loaded for a list of names.
    scripted = Model(name="scripted", deployments=(Deployment(provider="scripted"),))
    settings = Settings(data_dir=folder, models=(scripted,))
    async with assemble(settings) as server:
        openapi = document(server)
        table = routes.table(Application(settings, bind="loopback"), server)
        families = server.metrics.totals().families
        scrape = server.metrics.render()[1].decode()
    own = [
        RouteLine(route.method, route.path, route.permission, _first_line(route.handle))
        for route in table
        if route.path != "/api/v1/{rest}"
    ]
    listed = {(each.method, each.path) for each in own}
    managed = [
        RouteLine(
            method.upper(),
            path,
            demand_of(method.upper(), path.removeprefix("/api/v1")).permission,
            operation.get("description") or "",
        )
        for path, operations in openapi["paths"].items()
        if path.startswith("/api/v1/")
        for method, operation in operations.items()
        if (method.upper(), path) not in listed
    ]
    kinds, helps = dict(_comments(scrape, "TYPE")), dict(_comments(scrape, "HELP"))
    declared = [MetricLine(each.name, each.kind, each.labels, each.help) for each in families.values()]
    at_a_scrape = [MetricLine(name, kinds[name], (), helps.get(name, "")) for name in kinds if name not in families]
    return Assembled(tuple(declared + at_a_scrape), tuple(own + managed), openapi)


def _comments(exposition: str, kind: str) -> Iterator[tuple[str, str]]:
    for line in exposition.splitlines():
        if line.startswith(f"# {kind} "):
            _, _, name, *rest = line.split(" ", 3)
            yield name, "".join(rest)


# Markdown


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]


REGIONS: Final[Mapping[str, Callable[[], str]]] = {
    "roles": _roles,
    "settings": _settings,
    "services": _services,
    "provider-keys": _provider_keys,
    "commands": _command_pages,
    "errors": _error_tree,
    "error-codes": _error_codes,
    "metrics": _metrics,
    "routes": _routes,
    "audit": _audit,
}


def main() -> int:
    for path in sorted(FOLDER.glob("*.md")):
        path.write_text(filled(path.read_text("utf-8")), "utf-8")
        print(f"filled {path.relative_to(ROOT)}")
    missing = undescribed()
    for what in missing:
        print(f"not described: {what}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
