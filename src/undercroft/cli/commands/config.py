"""`undercroft config`."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.errors import ConfigurationError
from undercroft.settings.effective import effective
from undercroft.settings.model import Settings
from undercroft.settings.sources import load

HELP = """Shows, checks and describes the settings.

Example: undercroft config show
         undercroft config check --config production.toml
         undercroft config schema > undercroft.schema.json"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="every value in force and where it came from", description=_SHOW)
    check = actions.add_parser("check", help="says what is wrong with the settings, if anything", description=_CHECK)
    for each in (show, check):
        add_config(each)
        add_json(each)
    actions.add_parser("schema", help="the JSON Schema of undercroft.toml, for editors", description=_SCHEMA)


_SHOW = "Every value in force and where it came from; secrets are masked.  Example: undercroft config show --json"
_CHECK = "Says what is wrong with the settings, if anything; exit code 2 then.  Example: undercroft config check"
_SCHEMA = "The JSON Schema of undercroft.toml.  Example: undercroft config schema > undercroft.schema.json"


def run(options: Namespace, out: Output) -> int:
    match options.action:
        case "show":
            return _show(options, out)
        case "check":
            return _check(options, out)
        case _:
            return _schema(out)


def _show(options: Namespace, out: Output) -> int:
    loaded = load(config=options.config, environment=os.environ, directory=Path.cwd())
    for warning in loaded.warnings:
        out.note(f"warning: {warning}")
    out.table(
        [
            {"setting": each.setting, "value": each.value if out.json else _as_toml(each.value), "source": each.source}
            for each in effective(loaded)
        ]
    )
    return 0


def _check(options: Namespace, out: Output) -> int:
    try:
        loaded = load(config=options.config, environment=os.environ, directory=Path.cwd())
    except ConfigurationError as error:
        if not out.json:
            raise
        out.show({"ok": False, "errors": str(error).splitlines(), "warnings": []})
        return 2
    if not out.json:
        for warning in loaded.warnings:
            out.note(f"warning: {warning}")
    out.show({"ok": True, "errors": [], "warnings": loaded.warnings}, text="ok")
    return 0


def _schema(out: Output) -> int:
    import msgspec

    schema = Settings.model_json_schema()
    out.show(schema, text=msgspec.json.format(msgspec.json.encode(schema), indent=2).decode())
    return 0


def _as_toml(value: object) -> str:
    match value:
        case None:
            return "(not set)"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case _:
            return str(value)
