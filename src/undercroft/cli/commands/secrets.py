"""`undercroft secrets`."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection

from undercroft.access.audit import Act, audited
from undercroft.access.secret_repository import (
    Place,
    Rotation,
    count_sealed,
    list_secrets,
    remove_secret,
    rotate_some,
    set_secret,
    summed,
)
from undercroft.access.vault import LONGEST, checked
from undercroft.assembly.secrets import StoredSecrets
from undercroft.cli.installation import at_the_keyboard, note, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.errors import UndercroftError
from undercroft.settings.model import Settings
from undercroft.storage.engine import Database

HELP = """Stores provider keys encrypted, and changes what encrypts them. Deployments name it: api_key = "secret:NAME".

Example: undercroft secrets set openai < key.txt
         undercroft secrets list"""
T = TypeVar("T")
ORGANISATION: Final = "default"
_SET = """Stores a secret, or replaces it; it is read from standard input, so that no list of processes shows it.

Example: undercroft secrets set openai < key.txt"""
_ROTATE = """Encrypts everything that is stored anew under the first key of ENCRYPTION_KEY, beside running servers.
Broken off, it goes on where it was when it is called again. Exit code 1 if something cannot be read.

Example: undercroft secrets rotate --json"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    put = actions.add_parser("set", help="stores a secret, or replaces it", description=_SET)
    listing = actions.add_parser(
        "list",
        help="the names of all secrets",
        description="The names of all secrets; what they are is not shown.  Example: undercroft secrets list --json",
    )
    delete = actions.add_parser(
        "delete",
        help="deletes a secret",
        description="Deletes a secret; deployments that name it answer 503.  Example: undercroft secrets delete openai",
    )
    rotate = actions.add_parser("rotate", help="encrypts all of them under the present key", description=_ROTATE)
    for one in (put, delete):
        one.add_argument("name", help="as in api_key = secret:NAME")
    rotate.add_argument(
        "--new-key", action="store_true", help="make a new key first, where the key is in a file of undercroft's own"
    )
    rotate.add_argument(
        "--forget-former-keys", action="store_true", help="afterwards remove the former keys from that file"
    )
    for action in (put, listing, delete, rotate):
        add_config(action)
        add_json(action)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    if options.action == "set":
        return _set(settings, options.name, out)
    with ready_database(settings, otherwise="Secrets cannot be looked at") as database:
        match options.action:
            case "list":
                rows = database.read_sync(partial(list_secrets, organisation=ORGANISATION))
                shown = [
                    {"name": row.name, "created": rfc3339(row.created_us), "changed": rfc3339(row.changed_us)}
                    for row in rows
                ]
                out.table(shown, empty="There are no secrets.")
            case "delete":
                work = partial(remove_secret, name=options.name, organisation=ORGANISATION)
                _written(database, work, Act(action="secret.delete", subject=options.name))
                out.show({"name": options.name, "deleted": True}, text=f"{options.name} is deleted.")
            case _:
                return _rotate(StoredSecrets(settings), database, options, out)
    return 0


def _set(settings: Settings, name: str, out: Output) -> int:
    if sys.stdin.isatty():
        import getpass

        text = getpass.getpass(f"{name}: ").strip()
    else:
        text = sys.stdin.read(LONGEST + 2).strip()
    token = StoredSecrets(settings).seal(checked(name, text))
    with ready_database(settings, otherwise="Secrets cannot be stored") as database:
        now_us = SystemClock().now_us()
        work = partial(set_secret, name=name, token=token, organisation=ORGANISATION, now_us=now_us)
        is_new = _written(database, work, Act(action="secret.set", subject=name))
    text = f"{name} is {'stored' if is_new else 'replaced'}; running servers use it within 2 s."
    out.show({"name": name, "created": is_new}, text=text)
    return 0


def _rotate(secrets: StoredSecrets, database: Database, options: Namespace, out: Output) -> int:
    if options.new_key:
        secrets.add_key()
    total = database.read_sync(count_sealed)
    place: Place | None = Place()
    reports: list[Rotation] = []
    with out.progress("encrypting anew", total) as advance:
        while place is not None:
            report, place = database.write_sync(partial(rotate_some, box=secrets, place=place))
            reports.append(report)
            advance(report.total)
    report = summed(reports)
    result = {"rotated": report.rotated, "current": report.current, "unreadable": report.unreadable}
    note(database, Act(action="secret.rotate", after=result))
    forgotten = 0
    if options.forget_former_keys and report.unreadable:
        raise UndercroftError("The former keys stay: not everything is under the present one.")
    if options.forget_former_keys:
        forgotten = secrets.forget_former_keys()
    text = f"{report.rotated} encrypted anew, {report.current} were already, {len(report.unreadable)} unreadable."
    for name in report.unreadable:
        out.note(f"unreadable, and left as it is: {name}")
    out.show({**result, "forgotten_keys": forgotten}, text=text)
    return 1 if report.unreadable else 0


def _written(database: Database, work: Callable[[Connection], T], act: Act) -> T:
    return database.write_sync(audited(work, lambda _: act, origin=at_the_keyboard(), now_us=SystemClock().now_us()))
