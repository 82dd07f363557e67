"""From what the operator wrote to one frozen `Settings`: file, then `.env`, then environment, the later wins."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any, Final, Self

from pydantic import SecretStr, ValidationError

from undercroft.errors import ConfigurationError
from undercroft.settings import dotenv, explain, rules, variables
from undercroft.settings.database_url import normalise
from undercroft.settings.draft import Draft, Origin, dotted, leaves
from undercroft.settings.files import FileProblem, read_text
from undercroft.settings.locate import Place, locate
from undercroft.settings.model import PROVIDERS, Settings
from undercroft.settings.references import follow_references, follow_stored, stored_references
from undercroft.settings.secret_store import OpenStored
from undercroft.settings.shape import settings_shape
from undercroft.settings.variables import Variable

FILE_NAME: Final = "undercroft.toml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Usable settings. `provenance` knows every value that was written (`models[0].name`); the others are defaults."""

    settings: Settings
    provenance: Mapping[str, Origin]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a process takes its settings from, so that it can read them again.

    Files are read anew each time; the environment, the folder and the command's options are those of its start.
    """

    config: Path | None
    environment: Mapping[str, str]
    directory: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    stored: OpenStored | None = None
    """As `load` has it."""

    @classmethod
    def here(
        cls,
        config: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        stored: OpenStored | None = None,
    ) -> Self:
        """This process's environment and folder as they are now."""
        return cls(config, dict(os.environ), Path.cwd(), overrides or {}, stored)

    def load(self) -> Loaded:
        """As `load`. Raises ConfigurationError, and Unavailable where stored secrets cannot be read."""
        return load(
            config=self.config,
            environment=self.environment,
            directory=self.directory,
            overrides=self.overrides,
            stored=self.stored,
        )


def load(
    *,
    config: Path | None,
    environment: Mapping[str, str],
    directory: Path,
    overrides: Mapping[str, Any] | None = None,
    providers: Collection[str] = PROVIDERS,
    stored: OpenStored | None = None,
) -> Loaded:
    """Reads and checks everything. `overrides` are a command's own options by dotted name and win over all sources.

    `stored` opens the encrypted store, if a setting names a secret of it that is wanted at the start; without it such
    a setting stays `secret:NAME`. Relative paths are relative to `directory`. Raises ConfigurationError with a line for
    everything that is wrong, and Unavailable where the encrypted store is needed and away.
    """
    draft = Draft()
    here = {name: Variable(text, Origin("environment", name=name)) for name, text in environment.items()}
    beside = {name: each for name, each in _dotenv(directory, draft).items() if name not in here}
    known = {name: each.text for name, each in (beside | here).items() if each.text}

    _read_file(_which_file(config, known, directory), draft, directory)
    variables.apply(beside, draft, directory=directory, providers=providers)
    variables.apply(here, draft, directory=directory, providers=providers)
    for name, value in (overrides or {}).items():
        option = name.rpartition(".")[2].replace("_", "-")
        draft.put(tuple(name.split(".")), value, Origin(f"--{option}"))
    followed = follow_references(draft, known, directory)

    settings = _checked(draft, providers, directory)
    if stored is not None and (named := stored_references(draft)):
        follow_stored(draft, named, stored(_anchored(settings, directory)))
        settings = _checked(draft, providers, directory)
    _warn(settings, draft, unused=_unused_keys(beside | here, followed, providers))
    return Loaded(
        settings=_anchored(settings, directory),
        provenance={dotted(place): draft.origin(place) for place, _ in draft.leaves()},
        warnings=tuple(f"{origin}: {text}" for origin, text in draft.warnings),
    )


def _dotenv(directory: Path, draft: Draft) -> dict[str, Variable]:
    path = directory / ".env"
    if not path.exists() or path.is_dir():  # some name their virtual environment so
        return {}
    try:
        entries, odd_lines = dotenv.parse(read_text(path))
    except FileProblem as problem:
        raise ConfigurationError(str(problem)) from None
    if os.name == "posix" and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        draft.warnings.append((Origin(".env"), f"its mode {mode:04o} lets others read it; type: chmod 600 {path}"))
    for line in odd_lines:
        draft.warnings.append((Origin(".env", line), "not KEY=VALUE, passed over"))
    return {entry.name: Variable(entry.value, Origin(".env", entry.line, entry.name)) for entry in entries}


def _which_file(config: Path | None, known: Mapping[str, str], directory: Path) -> Path | None:
    named = config or known.get("UNDERCROFT_CONFIG")
    if named is not None:
        return directory / Path(named).expanduser()
    usual = directory / FILE_NAME
    return usual if usual.exists() else None


def _read_file(path: Path | None, draft: Draft, directory: Path) -> None:
    if path is None:
        return
    name = str(path.relative_to(directory) if path.is_relative_to(directory) else path)
    try:
        text = read_text(path)
    except FileProblem as problem:
        raise ConfigurationError(str(problem)) from None
    try:
        tree = tomllib.loads(text)
        lines = locate(text.replace("\r\n", "\n"))
    except RecursionError:
        raise ConfigurationError(f"{name}: is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, or a number of more digits than Python reads
        found = re.search(r"\(at line ([0-9]+), column ([0-9]+)\)", str(error))
        place = f"{name}:{found[1]}:{found[2]}" if found else name
        if "(at end of document)" in str(error):
            place = f"{name}:{len(text.rstrip().splitlines())}"
        reason = str(error).partition(" (at ")[0]
        raise ConfigurationError(f"{place}: not TOML: {reason[:1].lower()}{reason[1:]}") from None
    draft.put_file(tree, {place: Origin(name, line) for place, line in lines.items()})


def _checked(draft: Draft, providers: Collection[str], directory: Path) -> Settings:
    """The settings that were drafted. Raises ConfigurationError."""
    settings = _validated(draft)
    if settings is None:
        raise _refusal(draft)
    for place, text in rules.problems(settings, providers=providers, directory=directory):
        draft.complain(place, f"{dotted(place)} {text}")
    if draft.problems:
        raise _refusal(draft)
    return settings


def _validated(draft: Draft) -> Settings | None:
    """The settings, or None with the problems noted.

    By way of JSON, whose strict mode takes a list for a tuple and text for a path but never "8000" for 8000.
    """
    try:
        text = json.dumps(draft.tree, default=_as_table)
    except (ValueError, RecursionError):
        draft.problems.append((Origin("settings"), "a number is too long, or tables are nested too deeply"))
        return None
    try:
        settings = Settings.model_validate_json(text, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        for place, kind in [(tuple(each["loc"]), each["type"]) for each in found]:
            # A list with a wrong element is reported as too short as well.
            if not any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in found):
                _complain(place, kind, draft)
        return None
    return None if draft.problems else settings


def _complain(place: Place, kind: str, draft: Draft) -> None:
    shape = settings_shape()
    match kind:
        case "extra_forbidden":
            draft.complain(place, explain.unknown_setting(place, shape))
        case "missing":
            draft.complain(place, explain.missing_setting(place, shape))
        case _:
            draft.complain(place, explain.wrong_value(place, draft.value(place), shape))


def _as_table(value: object) -> dict[str, str]:
    """No setting takes a date: as a table it is refused like any other value of the wrong type."""
    assert isinstance(value, date | time), "TOML and JSON have no other types"
    return {"date": ""}


def _refusal(draft: Draft) -> ConfigurationError:
    ordered = sorted(draft.problems, key=lambda problem: (problem[0].source, problem[0].line))
    return ConfigurationError("\n".join(f"{origin}: {text}" for origin, text in ordered))


def _unused_keys(layers: Mapping[str, Variable], followed: Collection[str], providers: Collection[str]) -> list[Origin]:
    """Keys of providers that this version cannot call, and that nothing refers to."""
    return [
        layers[name].origin
        for key, provider in variables.PROVIDER_KEYS.items()
        for name in (key, f"{key}_FILE")
        if provider not in providers and name not in followed and name in layers and layers[name].text
    ]


def _warn(settings: Settings, draft: Draft, *, unused: list[Origin]) -> None:
    defaults = dict(leaves(Settings().model_dump())) if rules.NOT_USED_YET else {}
    for place, _ in draft.leaves():
        value = draft.value(place)
        given = tuple(value) if isinstance(value, list) else value  # TOML has lists where settings have tuples
        if any(place[: len(each)] == each for each in rules.NOT_USED_YET) and given != defaults.get(place):
            draft.warnings.append(
                (draft.origin(place), f"{dotted(place)} is set, but this version does not use it yet")
            )
    draft.warnings.extend((origin, "is set, but this version does not use it yet") for origin in unused)
    for place, text in rules.cautions(settings):
        draft.warnings.append((draft.origin(place), f"{dotted(place)} {text}"))


def _anchored(settings: Settings, directory: Path) -> Settings:
    """The same with absolute paths and the database's address in one form."""

    def anchored(path: Path | None) -> Path | None:
        return None if path is None else directory / path.expanduser()

    local, egress, url = settings.local, settings.egress, settings.database.url
    if url is not None:
        normal = normalise(url.get_secret_value(), directory=directory)
        url = None if normal is None else SecretStr(normal)
    return settings.model_copy(
        update={
            "data_dir": anchored(settings.data_dir),
            "database": settings.database.model_copy(update={"url": url}),
            "local": local.model_copy(
                update={"models_dir": anchored(local.models_dir), "chat_gguf": anchored(local.chat_gguf)}
            ),
            "egress": egress.model_copy(update={"ca_file": anchored(egress.ca_file)}),
        }
    )
