"""`undercroft config`."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.errors import ConfigurationError
from undercroft.settings.effective import effective
from undercroft.settings.sources import load

HELP = """Shows, checks and describes the settings.

Example: undercroft config show
         undercroft config check --config production.toml
         undercroft config schema > undercroft.schema.json
         undercroft config import litellm config.yaml --out undercroft.toml"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="every value in force and where it came from", description=_SHOW)
    check = actions.add_parser("check", help="says what is wrong with the settings, if anything", description=_CHECK)
    for each in (show, check):
        add_config(each)
        add_json(each)
    imported = actions.add_parser("import", help="makes undercroft.toml of another gateway's", description=_IMPORT)
    imported.add_argument("format", choices=["litellm"], help="whose configuration it is")
    imported.add_argument("file", type=Path, help="its configuration, e.g. config.yaml")
    imported.add_argument("--out", type=Path, metavar="FILE", help="where it is written; default: to stdout")
    imported.add_argument("--force", action="store_true", help="write over a file that is there")
    add_json(imported)
    actions.add_parser("schema", help="the JSON Schema of undercroft.toml, for editors", description=_SCHEMA)


_SHOW = "Every value in force and where it came from; secrets are masked.  Example: undercroft config show --json"
_CHECK = "Says what is wrong with the settings, if anything; exit code 2 then.  Example: undercroft config check"
_IMPORT = (
    "Makes undercroft.toml of a LiteLLM proxy's configuration, and tells what differs and what could not be carried "
    "over.  Example: undercroft config import litellm config.yaml --out undercroft.toml"
)
_SCHEMA = "The JSON Schema of undercroft.toml.  Example: undercroft config schema > undercroft.schema.json"


def run(options: Namespace, out: Output) -> int:
    match options.action:
        case "show":
            return _show(options, out)
        case "check":
            return _check(options, out)
        case "import":
            return _import(options, out)
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


def _import(options: Namespace, out: Output) -> int:
    from undercroft.imports.litellm.convert import convert

    try:
        text = options.file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{options.file} cannot be read: {error}.") from error
    imported = convert(text, environment=os.environ)
    if options.out is not None:
        try:
            with options.out.open("w" if options.force else "x", encoding="utf-8") as file:
                file.write(imported.toml)
        except FileExistsError as error:
            raise ConfigurationError(
                f"{options.out} is there already, and was left as it is.", hint="Type --force to write over it."
            ) from error
        except OSError as error:
            raise ConfigurationError(f"{options.out} cannot be written: {error}.") from error
    if out.json:
        out.show(imported)
        return 0
    if options.out is None:
        out.show(imported.toml)
    out.note(f"Carried over: {imported.models} models with {imported.deployments} deployments.")
    if imported.variables:
        out.note(f"Set these variables: {', '.join(imported.variables)}")
    for change in imported.changed:
        out.note(f"Differs: {change.where}: {change.why}")
    for left in imported.left:
        out.note(f"Not carried over: {left.where}: {left.why}")
    return 0


def _schema(out: Output) -> int:
    import msgspec

    from undercroft.settings.described import settings_schema

    schema = settings_schema()
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
