"""`undercroft releases`."""

import asyncio
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from functools import partial
from typing import Any, Final

import msgspec

from undercroft.access.audit import Act
from undercroft.assembly.releases import audit, plan_of, states
from undercroft.cli.commands.versions import author
from undercroft.cli.installation import at_the_keyboard, note, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.events.outbox import Outbox
from undercroft.ids import Ids
from undercroft.releases import repository
from undercroft.releases.decide import Command
from undercroft.releases.desk import ReleaseDesk, Status
from undercroft.releases.types import Release
from undercroft.settings.model import Settings
from undercroft.storage.engine import Database
from undercroft.versions.content import KINDS, SHORT, Kind

HELP = """What an alias runs: create, roll out, promote and roll back releases.
A release is versions of model, prompt, retrieval and guardrail that answer together.

Example: undercroft releases create support --model support@staging --prompt greeting@staging
         undercroft releases start rel_0123456789abcdef --strategy canary --steps 5,25,50 --bake 600
         undercroft releases rollback support"""
ORGANISATION: Final = "default"
COMMANDS: Final[dict[str, Command]] = {
    "pause": "pause",
    "resume": "resume",
    "rollback": "roll_back",
}


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, help: str, example: str) -> ArgumentParser:
        description = f"{help[0].upper()}{help[1:]}.  Example: undercroft releases {name} {example}".rstrip()
        action: ArgumentParser = actions.add_parser(name, help=help, description=description)
        add_config(action)
        add_json(action)
        return action

    create = add("create", "pin versions for an alias", "support --model support@staging")
    create.add_argument("alias", help="the model name that callers ask for")
    for kind in KINDS:
        create.add_argument(
            f"--{kind}", metavar="NAME[@VERSION]", help=f"the {kind}; left out: as in the present release"
        )
    create.add_argument("--note", default="", help="for people")
    listing = add("list", "all releases, newest first", "--alias support")
    listing.add_argument("--alias", help="only of this alias")
    start = add("start", "begin to bring a release out", "rel_0123456789abcdef --strategy canary --steps 5,25,50")
    start.add_argument("release", help="its id")
    start.add_argument(
        "--strategy", choices=["canary", "blue_green", "shadow"], default="canary", help="who sees it; default: canary"
    )
    start.add_argument("--steps", type=_steps, metavar="5,25,50", help="per cent of users (shadow: of calls), in order")
    start.add_argument("--bake", type=float, metavar="SECONDS", help="how long each step lasts at least")
    promote = add("promote", "put a release in force for everybody, now", "rel_0123456789abcdef")
    promote.add_argument("release", help="its id")
    status = add("status", "what answers for an alias, its rollout, gates and moves", "support")
    commands = [
        add("pause", "keep a rollout where it is", "support"),
        add("resume", "go on with a paused rollout", "support"),
        add("rollback", "end a rollout, or go back to the release before", "support"),
    ]
    for action in (*commands, status):
        action.add_argument("alias", help="the model name that callers ask for")
    for action in (*commands, promote, start):
        action.add_argument("--reason", default="", metavar="TEXT", help="for the records")


def _steps(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(each) / 100 for each in text.split(","))
    except ValueError:
        shares = ()
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ArgumentTypeError(f"{text!r} is to be percentages, such as 5,25,50")
    return shares


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    with ready_database(settings, otherwise="Releases are in the database, which is not ready") as database:
        return asyncio.run(_run(options, settings, database, out))


async def _run(options: Namespace, settings: Settings, database: Database, out: Output) -> int:
    clock = SystemClock()
    desk = ReleaseDesk(
        database, outbox=Outbox(clock), ids=Ids(clock), clock=clock, audit=partial(audit, origin=at_the_keyboard())
    )
    match options.action:
        case "create":
            wanted: dict[Kind, str] = {kind: given for kind in KINDS if (given := getattr(options, kind))}
            release = await desk.create(
                options.alias, wanted, organisation=ORGANISATION, note=options.note, author=author()
            )
            note(database, Act(action="release.create", subject=release.id, after=_shown(release)))
            out.show(_shown(release), text=release.id)
        case "list":
            found = await database.read(partial(repository.listed, organisation=ORGANISATION, alias=options.alias))
            out.table([_shown(each) for each in found], empty="There are no releases.")
        case "start":
            plan = plan_of(settings.releases, options.strategy, steps=options.steps, bake_s=options.bake)
            rollout = await desk.start(
                options.release, plan, organisation=ORGANISATION, author=author(), reason=options.reason
            )
            await _show(desk, database, rollout.alias, out)
        case "promote":
            status = await desk.promote(
                options.release, organisation=ORGANISATION, author=author(), reason=options.reason
            )
            await _show(desk, database, status.alias.alias, out)
        case "status":
            await _show(desk, database, options.alias, out)
        case action:
            command = COMMANDS[action]
            await desk.command(
                options.alias, command, organisation=ORGANISATION, author=author(), reason=options.reason
            )
            await _show(desk, database, options.alias, out)
    return 0


async def _show(desk: ReleaseDesk, database: Database, alias: str, out: Output) -> None:
    status = await desk.status(alias, organisation=ORGANISATION)
    gates = [] if status.rollout is None else await states(database, status.rollout)
    out.show(_value(status, gates), text="\n".join(_lines(status, gates)))


def _value(status: Status, gates: list[dict[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {**msgspec.to_builtins(status.alias), "rollout": None}
    if status.rollout is not None:
        value["rollout"] = {**msgspec.to_builtins(status.rollout), "gates": gates}
    value["moves"] = msgspec.to_builtins(status.moves)
    return value


def _lines(status: Status, gates: list[dict[str, Any]]) -> list[str]:
    lines = [f"{status.alias.alias} is answered by {status.alias.current or 'its configured model'}."]
    if status.alias.previous:
        lines.append(f"Before: {status.alias.previous}.")
    if rollout := status.rollout:
        step = rollout.now
        seen = f"{step.share:.0%} of users" if step.share else f"{step.mirror:.0%} of calls, mirrored"
        place = f"step {rollout.step + 1} of {len(rollout.plan.steps)}, {seen}"
        lines.append(f"Rollout of {rollout.candidate}: {rollout.state}, {place}. {rollout.reason}".rstrip())
        lines += [
            f"  {gate['gate']}: {gate['counts']['candidate_bad']} of {gate['counts']['candidate_total']}, before "
            f"{gate['counts']['stable_bad']} of {gate['counts']['stable_total']}"
            + (" - breached" if gate["breached"] else "")
            for gate in gates
        ]
    for moved in status.moves[:10]:
        why = f" ({moved.reason})" if moved.reason else ""
        lines.append(f"{rfc3339(moved.at_us)[:19]} {moved.move} {moved.release} by {moved.author or '?'}{why}")
    return lines


def _shown(release: Release) -> dict[str, object]:
    pins: dict[str, object] = {kind: _short(getattr(release.manifest, kind)) for kind in KINDS}
    return {
        "id": release.id,
        "alias": release.manifest.alias,
        **pins,
        "created": rfc3339(release.created_us)[:19],
        "author": release.author,
        "note": release.note,
    }


def _short(pin: str | None) -> str:
    name, _, digest = (pin or "").partition("@")
    return f"{name}@{digest[:SHORT]}" if digest else ""
