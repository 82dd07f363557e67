"""`undercroft webhooks`."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from undercroft.access.audit import Act
from undercroft.assembly.events import webhook_sinks
from undercroft.assembly.secrets import StoredSecrets
from undercroft.cli.commands.usage import moment
from undercroft.cli.installation import note, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.egress.client import Client
from undercroft.egress.guard import Guard
from undercroft.events.hooks import Hooks
from undercroft.events.webhooks import Webhook
from undercroft.ids import Ids
from undercroft.settings.model import Settings
from undercroft.storage.engine import Database

HELP = """Who is told of events by HTTP.

Example: undercroft webhooks create https://example.com/hook --type 'job.*'
         undercroft webhooks list"""
ORGANISATION: Final = "default"


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all webhooks", description=_LIST)
    create = actions.add_parser("create", help="make one; its signing secret is shown this once", description=_CREATE)
    create.add_argument("url", help="where events are posted to")
    create.add_argument("--type", action="append", metavar="TYPE", help="job.succeeded, job.*, …; default: all")
    create.add_argument("--description", default="", metavar="TEXT", help="for people")
    delete = actions.add_parser("delete", help="delete one, with what it was still to be told", description=_DELETE)
    replay = actions.add_parser("replay", help="tell one again what it has missed", description=_REPLAY)
    secret = actions.add_parser(
        "job-secret", help="make what jobs' own webhooks are signed under", description=_SIGNING
    )
    test = actions.add_parser("test", help="post a webhook.test now", description=_TEST)
    for one in (delete, replay, test):
        one.add_argument("id", help="the webhook's id, as `list` shows it")
    replay.add_argument(
        "--since", type=moment, required=True, metavar="WHEN", help="7d, 12h, or a day such as 2026-01-01 (UTC)"
    )
    replay.add_argument("--everything", action="store_true", help="also what was delivered")
    for action in (listing, create, delete, replay, secret, test):
        add_config(action)
        add_json(action)


_LIST = "All webhooks; their secrets are not shown.  Example: undercroft webhooks list --json"
_CREATE = "Makes a webhook.  Example: undercroft webhooks create https://example.com/hook --type job.succeeded"
_DELETE = "Deletes a webhook, with what it was still to be told.  Example: undercroft webhooks delete wh_0123456789"
_REPLAY = "Tells a webhook again what it has missed.  Example: undercroft webhooks replay wh_0123456789 --since 2d"
_SIGNING = """Makes the secret that jobs' own webhooks are signed under from now on, and shows it this once.

Example: undercroft webhooks job-secret"""
_TEST = "Posts a webhook.test; exit code 1 if it is not taken.  Example: undercroft webhooks test wh_0123456789"


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    with ready_database(settings, otherwise="Webhooks cannot be reached") as database:
        return asyncio.run(_run(options, settings, database, out))


async def _run(options: Namespace, settings: Settings, database: Database, out: Output) -> int:
    async with _opened(settings, database) as hooks:
        match options.action:
            case "list":
                rows = [_cells(each) for each in await hooks.listed(ORGANISATION)]
                out.table(rows, empty="There are no webhooks.")
            case "create":
                made = await hooks.create(
                    ORGANISATION, url=options.url, types=options.type or ["*"], description=options.description
                )
                note(database, Act(action="webhook.create", subject=made.webhook.id, after=_cells(made.webhook)))
                text = f"{made.webhook.id}\nIts signing secret, shown this once: {made.secret}"
                out.show({**_cells(made.webhook), "secret": made.secret}, text=text)
            case "delete":
                before = _cells(await hooks.find(ORGANISATION, options.id))
                await hooks.remove(ORGANISATION, options.id)
                note(database, Act(action="webhook.delete", subject=options.id, before=before))
                out.show({"id": options.id, "deleted": True}, text=f"{options.id} is deleted.")
            case "replay":
                with out.progress("replaying") as advance:
                    count = await hooks.replay(
                        ORGANISATION,
                        options.id,
                        since_us=options.since,
                        everything=options.everything,
                        progress=advance,
                    )
                note(database, Act(action="webhook.replay", subject=options.id, after={"events": count}))
                out.show({"id": options.id, "events": count}, text=f"Events that are told again: {count}.")
            case "job-secret":
                secret = await hooks.renew_job_secret(ORGANISATION)
                note(database, Act(action="webhook.job_secret", subject="job-secret"))
                text = f"Jobs' own webhooks are signed under this, shown this once: {secret}"
                out.show({"secret": secret}, text=text)
            case _:
                return await _test(hooks, database, options.id, out)
    return 0


async def _test(hooks: Hooks, database: Database, id: str, out: Output) -> int:
    outcome = await hooks.test(ORGANISATION, id)
    note(database, Act(action="webhook.test", subject=id, after={"status": outcome.status or None}))
    result = {"id": id, "delivered": outcome.ok, "status": outcome.status or None, "error": outcome.error}
    out.show(result, text=f"Delivered: {outcome.status}." if outcome.ok else f"Not delivered: {outcome.error}.")
    return 0 if outcome.ok else 1


@asynccontextmanager
async def _opened(settings: Settings, database: Database) -> AsyncIterator[Hooks]:
    """The webhooks of the server whose settings these are."""
    clock, guard = SystemClock(), Guard(allow=settings.egress.allow)
    client = Client(limits=settings.egress, clock=clock, guard=guard)
    try:
        secrets = StoredSecrets(settings)
        sink = webhook_sinks(settings, client=client, secrets=secrets, clock=clock)
        yield Hooks(database, guard=guard, secrets=secrets, sink=sink, ids=Ids(clock), clock=clock)
    finally:
        await client.close()


def _cells(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "types": ", ".join(webhook.types),
        "state": "enabled" if webhook.enabled else f"off: {webhook.reason}",
        "failing_since": rfc3339(webhook.failing_us) if webhook.failing_us else "",
        "description": webhook.description,
    }
