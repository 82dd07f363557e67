"""`undercroft versions`, and what `undercroft prompts` has in common with it."""

import asyncio
import getpass
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from undercroft.access.audit import Act
from undercroft.assembly.versions import VersionDesk, shown
from undercroft.cli.installation import note, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.errors import InvalidRequest
from undercroft.settings.model import Settings
from undercroft.versions.content import KINDS, LATEST, Kind, PromptContent
from undercroft.versions.diff import diff
from undercroft.versions.folder import read_file
from undercroft.versions.template import fill

HELP = """The same for models, retrieval and guardrails as `undercroft prompts` is for prompts:
versions that never change, by address, with labels that move.

Example: undercroft versions create model support model.json --label staging
         undercroft versions list model"""
ORGANISATION: Final = "default"
Noted = Callable[[Act], None]
CHANGES: Final = {"stored": "file -> database", "written": "database -> file", "same": "same"}


def arguments(parser: ArgumentParser) -> None:
    add_actions(parser, kind=None)


def add_actions(parser: ArgumentParser, *, kind: Kind | None) -> None:
    """The actions of one kind, or with the kind as an argument."""
    word = "prompts" if kind else "versions"
    place = "" if kind else "prompt "
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, help: str, example: str) -> ArgumentParser:
        description = f"{help[0].upper()}{help[1:]}.  Example: undercroft {word} {name} {example}".rstrip()
        action: ArgumentParser = actions.add_parser(name, help=help, description=description)
        if kind is None and name != "sync":
            action.add_argument("kind", choices=KINDS, help="what is versioned")
        add_config(action)
        add_json(action)
        return action

    listing = add("list", "every version with its labels, newest first", place)
    listing.add_argument("name", nargs="?", help="only of this name")
    show = add("show", "one version with its content", f"{place}greeting@production")
    show.add_argument("reference", metavar="NAME[@VERSION]", help="a label, latest (usual) or an address")
    create = add("create", "keep a file's content under a name", f"{place}greeting greeting.yaml --label staging")
    create.add_argument("name", help="the name to keep it under")
    create.add_argument("file", type=Path, help="YAML or JSON")
    create.add_argument("--label", action="append", default=[], help="move this label to it; may be repeated")
    create.add_argument("--note", default="", help="for people")
    label = add("label", "move a label to a version", f"{place}greeting production latest")
    label.add_argument("name", help="whose version")
    label.add_argument("label", help="what is to mean it, such as production")
    label.add_argument("version", help="an address, another label or latest")
    unlabel = add("unlabel", "take a label away", f"{place}greeting staging")
    unlabel.add_argument("name", help="whose label")
    unlabel.add_argument("label", help="what is to mean nothing any more")
    compare = add("diff", "what is different between two versions", f"{place}greeting production latest")
    compare.add_argument("name", help="whose versions")
    compare.add_argument("before", help="a label, latest or an address")
    compare.add_argument("after", nargs="?", default=LATEST, help="the same; default: latest")
    _add_sync(add("sync", "bring undercroft.d and the database together, in both directions", ""))
    if kind is not None:
        render = add("render", "fill a prompt", "greeting@production --set who=Ann")
        render.add_argument("reference", metavar="NAME[@VERSION]", help="a label, latest (usual) or an address")
        render.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="text, or JSON")


def _add_sync(sync: ArgumentParser) -> None:
    sync.add_argument("--folder", type=Path, metavar="DIR", help="default: [releases] folder")
    only = sync.add_mutually_exclusive_group()
    only.add_argument("--push", action="store_true", help="only from the files to the database")
    only.add_argument("--pull", action="store_true", help="only from the database to the files")


def run(options: Namespace, out: Output) -> int:
    return act(options, out, kind=getattr(options, "kind", None))


def act(options: Namespace, out: Output, *, kind: Kind | None) -> int:
    """Does what one of the actions says."""
    settings = read_settings(options, out)
    with ready_database(settings, otherwise="Versions are in the database, which is not ready") as database:
        desk = VersionDesk(database, organisation=ORGANISATION, clock=SystemClock())
        noted = partial(note, database)
        if options.action == "sync":
            return _sync(desk, options, settings, out, noted=noted)
        assert kind is not None, "every other action has one"
        return asyncio.run(_act(desk, kind, options, out, noted=noted))


async def _act(desk: VersionDesk, kind: Kind, options: Namespace, out: Output, *, noted: Noted) -> int:
    subject = f"{kind}/{getattr(options, 'name', None)}"
    match options.action:
        case "list":
            versions = await desk.listed(kind, options.name)
            if out.json:
                out.show([shown(each) for each in versions])
            else:
                out.table([_row(shown(each)) for each in versions], empty=f"There is no {kind} yet.")
        case "show":
            found = shown(await desk.find(kind, *_named(options.reference)))
            out.show(found, text=msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        case "create":
            value = read_file(options.file)
            labels = tuple(options.label)
            made = await desk.create(kind, options.name, value, labels=labels, note=options.note, author=author())
            noted(Act(action="version.create", subject=subject, after={"version": made.short, "labels": labels}))
            out.show(shown(made), text=f"{made.name}@{made.short}")
        case "label":
            moved = await desk.label(kind, options.name, options.label, options.version)
            noted(Act(action="version.label", subject=subject, after={options.label: moved.short}))
            out.show(shown(moved), text=f"{options.label} is {moved.name}@{moved.short} now.")
        case "unlabel":
            await desk.unlabel(kind, options.name, options.label)
            noted(Act(action="version.unlabel", subject=subject, before={"label": options.label}))
            out.show({"name": options.name, "label": options.label}, text=f"{options.name} has no {options.label} now.")
        case "diff":
            before = await desk.find(kind, options.name, options.before)
            text = diff(before, await desk.find(kind, options.name, options.after))
            out.show({"diff": text}, text=text or "They are the same.")
        case _:
            await _render(desk, options, out)
    return 0


async def _render(desk: VersionDesk, options: Namespace, out: Output) -> None:
    version = await desk.find("prompt", *_named(options.reference))
    assert isinstance(version.content, PromptContent), "its kind is prompt"
    values = dict(_pair(each, version.content) for each in options.set)
    messages = [{"role": role, "content": text} for role, text in fill(version.content, values)]
    out.show(messages, text="\n".join(f"{each['role']}: {each['content']}" for each in messages))


def _pair(text: str, content: PromptContent) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidRequest(f"--set {text!r} is to be NAME=VALUE.")
    variable = content.variables.get(name)
    if variable is None or variable.type == "string":
        return name, value
    try:
        return name, msgspec.json.decode(value)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"--set {name}: {value!r} is no {variable.type}.") from error


def _sync(desk: VersionDesk, options: Namespace, settings: Settings, out: Output, *, noted: Noted) -> int:
    only = "stored" if options.push else "written" if options.pull else None
    folder = options.folder or settings.releases.folder
    steps = asyncio.run(desk.sync(folder, only=only, author=author()))  # type: ignore[arg-type]
    rows = [{"kind": step.kind, "name": step.name, "change": CHANGES[step.change]} for step in steps]
    if stored := [f"{step.kind}/{step.name}" for step in steps if step.change == "stored"]:
        noted(Act(action="version.sync", subject=str(folder), after={"stored": stored}))
    out.table(rows, empty=f"There is nothing in {folder}, nor in the database.")
    return 0


def author() -> str:
    """Who is at the keyboard, for the records."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        return "cli"


def _named(reference: str) -> tuple[str, str]:
    name, _, version = reference.partition("@")
    return name, version or LATEST


def _row(version: dict[str, Any]) -> dict[str, object]:
    return {
        "name": version["name"],
        "version": version["version"],
        "labels": ", ".join(version["labels"]),
        "created": rfc3339(version["created_us"])[:19],
        "author": version["author"],
        "note": version["note"],
    }
