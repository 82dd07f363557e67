"""What the environment says: `UNDERCROFT_SECTION__NAME`, and the plain names that deployments already use."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from undercroft.settings import explain
from undercroft.settings.draft import Draft, Origin, dotted
from undercroft.settings.files import FileProblem, read_secret
from undercroft.settings.locate import Place
from undercroft.settings.places import Kind, is_secret, kind_at
from undercroft.settings.presets import PRESETS
from undercroft.settings.shape import settings_shape

PREFIX: Final = "UNDERCROFT_"
NOT_SETTINGS: Final = ("UNDERCROFT_CONFIG", "UNDERCROFT_DEBUG")
"""Read elsewhere: which file is the configuration, and whether the command line shows tracebacks."""

PLAIN_SECRETS: Final[Mapping[str, Place]] = {
    "DATABASE_URL": ("database", "url"),
    "REDIS_URL": ("redis", "url"),
    "CELERY_BROKER_URL": ("jobs", "broker_url"),
    "QDRANT_API_KEY": ("vectors", "qdrant_api_key"),
    "WEAVIATE_API_KEY": ("vectors", "weaviate_api_key"),
    "PINECONE_API_KEY": ("vectors", "pinecone_api_key"),
    "ENCRYPTION_KEY": ("encryption_key",),
    "SENTRY_DSN": ("telemetry", "sentry_dsn"),
    "UNDERCROFT_MASTER_KEY": ("access", "master_key"),
}
PLAIN: Final[Mapping[str, Place]] = {
    "PORT": ("server", "port"),
    "QDRANT_URL": ("vectors", "qdrant_url"),
    "WEAVIATE_URL": ("vectors", "weaviate_url"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("telemetry", "otlp_endpoint"),
    "UNDERCROFT_MODELS_DIR": ("local", "models_dir"),
}
PROVIDER_KEYS: Final[Mapping[str, str]] = {
    "OPENAI_API_KEY": "openai",
    "ANTHROPIC_API_KEY": "anthropic",
    "GEMINI_API_KEY": "gemini",
    "GOOGLE_API_KEY": "gemini",
    "AZURE_OPENAI_API_KEY": "azure",
    **{preset.key_variable: name for name, preset in PRESETS.items() if preset.key_variable is not None},
}
"""Each provider's usual variable; of several for one provider the first counts."""

_OTHERS_TURN: Final = {*PLAIN, *PLAIN_SECRETS, *NOT_SETTINGS}

# Kubernetes tells every pod of each Service this way; one that is named undercroft must not stop the start.
_SERVICE_LINK = re.compile(
    r"UNDERCROFT_(?:[A-Z0-9_]+_)?(?:SERVICE_(?:HOST|PORT)|PORT_[0-9]+_(?:TCP|UDP|SCTP))(?:_[A-Z0-9_]+)?"
)
_SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://")
_YES_NO: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable's text and where it was set."""

    text: str
    origin: Origin


def apply(variables: Mapping[str, Variable], draft: Draft, *, directory: Path, providers: Collection[str]) -> None:
    """Puts one layer (`.env`, or the environment) into the draft. An empty variable is as good as none."""
    layer = _Layer({name: each for name, each in variables.items() if each.text}, draft, directory)
    for name, place in PLAIN.items():
        layer.put_plain(name, place)
    for name, place in PLAIN_SECRETS.items():
        layer.put_secret(name, place)
    for name, provider in reversed(tuple(PROVIDER_KEYS.items())):
        if provider in providers:
            layer.put_secret(name, ("provider_keys", provider))
    for name in layer.variables:
        if name.startswith(PREFIX) and name.removesuffix("_FILE") not in _OTHERS_TURN:
            layer.put_nested(name)


class _Layer:
    def __init__(self, variables: Mapping[str, Variable], draft: Draft, directory: Path) -> None:
        self.variables = variables
        self._draft = draft
        self._directory = directory

    def put_plain(self, name: str, place: Place) -> None:
        if name in self.variables:
            self._put(name, place)

    def put_secret(self, name: str, place: Place) -> None:
        """`NAME`, or what stands in the file that `NAME_FILE` names."""
        by_file = f"{name}_FILE"
        if name in self.variables and by_file in self.variables:
            self._complain(by_file, f"{name} is set too; keep one of them")
        elif name in self.variables:
            self._put(name, place)
        elif by_file in self.variables:
            variable = self.variables[by_file]
            try:
                secret = read_secret(self._directory / Path(variable.text).expanduser())
            except FileProblem as problem:
                self._complain(by_file, str(problem))
            else:
                self._draft.put(place, secret, variable.origin)

    def put_nested(self, name: str) -> None:
        place = _place(name)
        base = name.removesuffix("_FILE")
        if kind_at(place) is not None:
            if is_secret(place):
                self.put_secret(name, place)
            else:
                self._put(name, place)
        elif base != name and is_secret(_place(base)):
            if base not in self.variables:  # otherwise its own turn reports the two
                self.put_secret(base, _place(base))
        elif len(place) > 1 and kind_at(place[:1]) == "array":
            self._complain(
                name, f"no such setting; {place[0]} is a list: write it as JSON in {variable_name(place[:1])}"
            )
        elif not _is_service_link(name, self.variables[name].text):
            candidates = [*_OTHERS_TURN, *(variable_name(other) for other in settings_shape().all_names())]
            self._complain(name, "no such setting" + explain.did_you_mean(name, candidates))

    def _put(self, name: str, place: Place) -> None:
        variable = self.variables[name]
        try:
            variable.text.encode()
        except UnicodeEncodeError:
            self._complain(name, f"{dotted(place)} takes UTF-8 text")
            return
        try:
            value = _converted(variable.text, kind_at(place))
        except (ValueError, RecursionError):
            self._complain(name, f"{dotted(place)} takes {settings_shape().takes(place)}, written as JSON")
            return
        self._put_tree(place, value, variable.origin)

    def _put_tree(self, place: Place, value: Any, origin: Origin) -> None:
        """A table given as JSON adds to the file's table; anything else replaces."""
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                self._put_tree((*place, key), inner, origin)
        else:
            self._draft.put(place, value, origin)

    def _complain(self, name: str, text: str) -> None:
        self._draft.problems.append((self.variables[name].origin, text))


def _place(name: str) -> Place:
    return tuple(name.removeprefix(PREFIX).lower().split("__"))


def variable_name(place: Place) -> str:
    """`("server", "port")` -> `UNDERCROFT_SERVER__PORT`."""
    return PREFIX + "__".join(str(step) for step in place).upper()


def _converted(text: str, kind: Kind | None) -> Any:
    """The text as the setting's type; text that does not fit stays text, which validation then refuses.

    Raises ValueError where JSON was needed and something else came.
    """
    match kind:
        case "integer" if re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", text):
            return int(text)
        case "number":
            try:
                return float(text)
            except ValueError:
                return text
        case "boolean":
            return _YES_NO.get(text.strip().lower(), text)
        case "array" | "object":
            return json.loads(text)
        case _:
            return text


def _is_service_link(name: str, text: str) -> bool:
    if "__" in name:
        return False
    return _SERVICE_LINK.fullmatch(name) is not None or (
        name.endswith("_PORT") and _SERVICE_ADDRESS.match(text) is not None
    )
