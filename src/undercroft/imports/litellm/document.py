"""A configuration as it was written: every field is taken by name, and what nobody took is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from undercroft.errors import ConfigurationError, MissingExtra

_VARIABLE: Final = "os.environ/"


@dataclass(frozen=True, slots=True)
class Left:
    """Something of the configuration that was not carried over, and why."""

    where: str
    why: str


@dataclass(slots=True)
class Report:
    """What the reader of an imported configuration must know."""

    left: list[Left] = field(default_factory=list)
    changed: list[Left] = field(default_factory=list)
    """Carried over, and not quite the same."""
    variables: set[str] = field(default_factory=set)
    """Environment variables that must be set."""


class Part:
    """A table of the configuration. `take` marks a field as understood."""

    def __init__(self, where: str, value: object, report: Report) -> None:
        self.where = where
        self.report = report
        self._fields: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}
        if value is not None and not isinstance(value, Mapping):
            self.leave("", "is no table")

    def __bool__(self) -> bool:
        return bool(self._fields)

    def take(self, name: str) -> Any:
        """The field, or None."""
        return self._fields.pop(name, None)

    def text(self, name: str) -> str | None:
        """A text; a reference to a variable is none."""
        value = self.take(name)
        if value is None or isinstance(value, Mapping | list):
            return None
        return str(value)

    def number(self, name: str) -> Decimal | None:
        """A number, however it was written; what is none is told."""
        value = self.take(name)
        if value is None:
            return None
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or isinstance(value, bool):
            self.leave(name, f"is {value!r}, which is no number")
            return None
        return number

    def flag(self, name: str) -> bool:
        return str(self.take(name)).lower() == "true"

    def part(self, name: str) -> "Part":
        """A table inside."""
        return Part(f"{self.where}.{name}".lstrip("."), self.take(name), self.report)

    def parts(self, name: str) -> list["Part"]:
        """A list of tables."""
        value = self.take(name)
        entries = value if isinstance(value, list) else []
        if value is not None and not isinstance(value, list):
            self.leave(name, "is no list")
        where = f"{self.where}.{name}".lstrip(".")
        return [Part(f"{where}[{position}]", entry, self.report) for position, entry in enumerate(entries)]

    def leave(self, name: str, why: str) -> None:
        """Tells that something is not carried over."""
        self.report.left.append(Left(f"{self.where}.{name}".strip("."), why))

    def change(self, name: str, how: str) -> None:
        """Tells that something is carried over, and differs."""
        self.report.changed.append(Left(f"{self.where}.{name}".strip("."), how))

    def leave_rest(self, reasons: Mapping[str, str], *, otherwise: str) -> None:
        """Tells of every field that nobody took."""
        for name in list(self._fields):
            del self._fields[name]
            self.leave(name, reasons.get(name, otherwise))


def variable_of(value: str) -> str | None:
    """The variable that `os.environ/NAME` refers to."""
    return value.removeprefix(_VARIABLE) if value.startswith(_VARIABLE) else None


def read(text: str) -> Mapping[str, Any]:
    """The YAML as data. Raises ConfigurationError where it is none, or says nothing."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("Reading YAML", extra="deploy") from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"This is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping) or not all(isinstance(name, str) for name in document):
        raise ConfigurationError(
            "This is no configuration of LiteLLM: it has no model_list, general_settings or others."
        )
    return document
