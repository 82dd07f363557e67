"""`undercroft keys`."""

import os
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_network
from typing import Final, TypeVar

from sqlalchemy import Connection

from undercroft.access.audit import Act, audited
from undercroft.access.keys import make_key, new_secret
from undercroft.access.repository import KeyRow, Wanted, keys_of, revoke_key, rotate_key
from undercroft.access.roles import GRANTABLE, ROLES
from undercroft.assembly import keys as desk
from undercroft.cli.installation import at_the_keyboard, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.ledger.limits import Limit, Measure, limits_from
from undercroft.money import parse_usd
from undercroft.settings.model import Settings

HELP = """Makes, lists, rotates and revokes virtual API keys, with what each may use.

Example: undercroft keys create --name billing --budget 10.00 --requests-per-minute 60"""

T = TypeVar("T")
ORGANISATION: Final = "default"
PERIODS: Final = ("day", "week", "month", "total")
_UNITS_S: Final = {"m": 60, "h": 3600, "d": 86_400}
_CREATE = """Makes a key and shows it this one time. From the first key on, every route but /health wants one.

Example: undercroft keys create --name billing --model chat --budget 10.00 --per month --expires 90d"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="makes a key", description=_CREATE)
    _what_it_is(create)
    every = actions.add_parser("list", help="all keys", description="All keys.  Example: undercroft keys list --json")
    revoke = actions.add_parser(
        "revoke",
        help="closes the door to a key for good",
        description="Closes the door to a key for good.  Example: undercroft keys revoke k3y1d2ab",
    )
    rotate = actions.add_parser(
        "rotate",
        help="gives a key another secret; its id and what it has used stay",
        description="Gives a key another secret.  Example: undercroft keys rotate k3y1d2ab --overlap 24h",
    )
    rotate.add_argument(
        "--overlap", type=span, default=86_400, metavar="TIME", help="how long the former secret opens (default: 24h)"
    )
    for action in (revoke, rotate):
        action.add_argument("key", help="its id: the 8 characters after uc_")
    for action in (create, every, revoke, rotate):
        add_config(action)
        add_json(action)


def _what_it_is(create: ArgumentParser) -> None:
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument("--team", default="default", help="whose it is; made where it is new (default: default)")
    create.add_argument("--user", default="default", help="the member of the team (default: default)")
    create.add_argument("--model", action="append", metavar="NAME", help="may call only this; repeat for more")
    create.add_argument(
        "--permission",
        action="append",
        choices=list(GRANTABLE),
        help="repeat for more (default: ai)",
    )
    create.add_argument("--role", choices=list(ROLES), help="in place of permissions: all that a role may do")
    create.add_argument(
        "--route", action="append", metavar="PATH", help="may ask for only this, or /v1/*; repeat for more"
    )
    create.add_argument(
        "--network", action="append", type=network, metavar="CIDR", help="may come from only here; repeat"
    )
    create.add_argument("--expires", type=span, metavar="TIME", help="90d, 12h: how long it opens")
    add_limits(create)


def add_limits(parser: ArgumentParser) -> None:
    """What may be used, in the options that `limits_in` reads."""
    parser.add_argument("--budget", type=usd, metavar="USD", help="what it may spend")
    parser.add_argument("--per", choices=PERIODS, default="month", help="of the budget (default: month)")
    parser.add_argument("--requests-per-minute", type=positive, metavar="N", help="calls it may make in a minute")
    parser.add_argument("--tokens-per-minute", type=positive, metavar="N", help="input and output tokens in a minute")
    parser.add_argument("--concurrent", type=positive, metavar="N", help="calls at the same time")


def span(text: str) -> int:
    """Seconds: `90d`, `12h`, `30m`."""
    form = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if form is None:
        raise ArgumentTypeError(f"{text!r} is no time; write 90d, 12h or 30m")
    return int(form[1]) * _UNITS_S[form[2]]


def network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no network such as 10.0.0.0/8") from None


def positive(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,14}", text):
        raise ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def usd(text: str) -> int:
    """Nano-dollars."""
    try:
        amount = parse_usd(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    if not 0 < amount < 10**18:
        raise ArgumentTypeError(f"{text!r} is no amount between 0 and a billion USD")
    return amount


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    match options.action:
        case "create":
            return _create(settings, options, out)
        case "list":
            rows = in_database(settings, partial(keys_of, organisation=ORGANISATION))
            out.table([_cells(row) for row in rows], empty="There are no keys.")
        case "revoke":
            now_us = SystemClock().now_us()
            work = partial(revoke_key, key=options.key, organisation=ORGANISATION, now_us=now_us)
            row = in_database(settings, work, Act(action="key.revoke", subject=options.key))
            out.show(_cells(row), text=f"{row.id} is revoked; running servers refuse it within 2 s.")
        case _:
            return _rotate(settings, options, out)
    return 0


def _create(settings: Settings, options: Namespace, out: Output) -> int:
    now_us, key = SystemClock().now_us(), make_key(os.urandom)
    wanted = Wanted(
        name=options.name,
        team=options.team,
        user=options.user,
        permissions=tuple(sorted(ROLES[options.role]) if options.role else options.permission or ("ai",)),
        models=options.model,
        routes=options.route,
        networks=options.network,
        expires_us=None if options.expires is None else now_us + options.expires * 1_000_000,
    )
    work = partial(
        desk.make, key=key, wanted=wanted, limits=list(limits_in(options)), organisation=ORGANISATION, now_us=now_us
    )
    act = Act(action="key.create", subject=key.id, after={"name": options.name, "permissions": wanted.permissions})
    in_database(settings, work, act)
    out.show({"id": key.id, "key": key.text}, text=f"{key.text}\nThis is the only time it is shown. Its id: {key.id}")
    return 0


def _rotate(settings: Settings, options: Namespace, out: Output) -> int:
    fresh = new_secret(options.key, os.urandom)
    until_us = SystemClock().now_us() + min(options.overlap * 1_000_000, desk.NO_LONGER_THAN_US)
    work = partial(rotate_key, fresh=fresh, organisation=ORGANISATION, former_until_us=until_us)
    in_database(settings, work, Act(action="key.rotate", subject=fresh.id))
    out.show(
        {"id": fresh.id, "key": fresh.text, "former_secret_until": rfc3339(until_us)},
        text=f"{fresh.text}\nThis is the only time it is shown. The former secret opens until {rfc3339(until_us)}.",
    )
    return 0


def limits_in(options: Namespace) -> Iterator[Limit]:
    """Whoever they are for."""
    yield from limits_from({"spend": options.budget}, scope="key", period=options.per)
    rates: dict[Measure, int | None] = {
        "requests": options.requests_per_minute,
        "tokens": options.tokens_per_minute,
        "concurrent": options.concurrent,
    }
    yield from limits_from(rates, scope="key", period="minute")


def in_database(settings: Settings, work: Callable[[Connection], T], act: Act | None = None) -> T:
    """Runs `work` in one transaction, with its entry in the audit log."""
    if act is not None:
        work = audited(work, lambda _: act, origin=at_the_keyboard(), now_us=SystemClock().now_us())
    with ready_database(settings, otherwise="Keys cannot be stored") as database:
        return database.write_sync(work)


def _cells(row: KeyRow) -> dict[str, object]:
    state = "revoked" if row.revoked_us is not None else "living"
    if row.expires_us is not None and row.revoked_us is None and row.expires_us <= SystemClock().now_us():
        state = "expired"
    return {
        "id": row.id,
        "name": row.name,
        "team": row.team,
        "user": row.user,
        "state": state,
        "models": "all" if row.models is None else ", ".join(row.models),
        "permissions": ", ".join(row.permissions),
        "created": rfc3339(row.created_us),
        "expires": "" if row.expires_us is None else rfc3339(row.expires_us),
    }
