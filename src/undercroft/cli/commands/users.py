"""`undercroft users`."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import Final

from sqlalchemy import Connection

from undercroft.access.accounts import Account, accounts_of, add_account, change_account
from undercroft.access.actions import Action
from undercroft.access.audit import Act, audited
from undercroft.access.passwords import SHORTEST, hash_password
from undercroft.access.roles import ROLES
from undercroft.cli.installation import at_the_keyboard, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.errors import InvalidRequest

HELP = """Who signs in with a password, and in which role.

Example: undercroft users create ada --role operator < password.txt
         undercroft users list"""
ORGANISATION: Final = "default"
_CREATE = f"""Makes an account; its password ({SHORTEST} characters or more) is read from standard input.

Example: undercroft users create ada --role developer --team search < password.txt"""
_ROLE = "Gives an account another role; its sessions end.  Example: undercroft users role ada viewer"


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="makes an account", description=_CREATE)
    create.add_argument("--role", choices=list(ROLES), default="viewer", help="what it may do (default: viewer)")
    create.add_argument("--team", default="default", help="made where it is new (default: default)")
    listing = actions.add_parser(
        "list", help="all accounts", description="All accounts.  Example: undercroft users list --json"
    )
    password = actions.add_parser(
        "password",
        help="sets another password, from standard input",
        description="Sets another password; its sessions end.  Example: undercroft users password ada < password.txt",
    )
    role = actions.add_parser("role", help="gives an account another role", description=_ROLE)
    disable = actions.add_parser(
        "disable",
        help="closes an account, and the keys that it has made",
        description="Closes an account, and the keys that it has made.  Example: undercroft users disable ada",
    )
    enable = actions.add_parser(
        "enable", help="opens it again", description="Opens an account again.  Example: undercroft users enable ada"
    )
    for action in (create, password, role, disable, enable):
        action.add_argument("user", help="its name")
    role.add_argument("role", choices=list(ROLES), help="the new role")
    for action in (create, listing, password, role, disable, enable):
        add_config(action)
        add_json(action)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    now_us = SystemClock().now_us()
    if options.action == "list":
        with ready_database(settings, otherwise="Accounts cannot be read") as database:
            rows = database.read_sync(partial(accounts_of, organisation=ORGANISATION))
        out.table([_cells(row) for row in rows], empty="There are no accounts.")
        return 0
    work: Callable[[Connection], Account]
    if options.action == "create":
        work = partial(
            add_account,
            user=options.user,
            team=options.team,
            role=options.role,
            password=hash_password(_password()),
            organisation=ORGANISATION,
            now_us=now_us,
        )
        act = partial(_act, "account.create", changed=())
    else:
        changes = _changes(options)
        work = partial(change_account, user=options.user, changes=changes, organisation=ORGANISATION, now_us=now_us)
        act = partial(_act, "account.change", changed=tuple(changes))
    with ready_database(settings, otherwise="Accounts cannot be changed") as database:
        account = database.write_sync(audited(work, act, origin=at_the_keyboard(), now_us=now_us))
    out.show(_cells(account), text=f"{account.user}: {account.role}, {_state(account)}.")
    return 0


def _changes(options: Namespace) -> dict[str, object]:
    match options.action:
        case "password":
            return {"password": hash_password(_password())}
        case "role":
            return {"role": options.role}
        case action:
            return {"disabled": action == "disable"}


def _password() -> str:
    if sys.stdin.isatty():
        import getpass

        first, second = getpass.getpass("Password: "), getpass.getpass("Again: ")
        if first != second:
            raise InvalidRequest("The two are not the same.")
        return first
    return sys.stdin.readline().rstrip("\r\n")


def _act(action: Action, account: Account, *, changed: tuple[str, ...]) -> Act:
    after = {"role": account.role, "state": _state(account), "changed": changed}
    return Act(action=action, subject=account.user, after=after)


def _state(account: Account) -> str:
    return "living" if account.disabled_us is None else "disabled"


def _cells(account: Account) -> dict[str, object]:
    return {
        "user": account.user,
        "team": account.team,
        "role": account.role,
        "state": _state(account),
        "created": rfc3339(account.created_us),
    }
