"""A receiver of webhooks that keeps what it got, and a server's folder that events are written into from outside."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook as Verifier

from tests.support.background import upstream_in_background
from tests.support.server import Server
from tests.support.upstream import Request, Step, Upstream
from undercroft.clock import SystemClock
from undercroft.events.outbox import Outbox
from undercroft.events.types import Event, Fact, JobData
from undercroft.storage.engine import Database, open_database

ALLOWED = """
[[models]]
name = "chat"
[[models.deployments]]
provider = "scripted"
script = "hi"

[egress]
allow = ["127.0.0.0/8"]
"""


@dataclass
class Receiver:
    """What was received, in the order of its arrival."""

    url: str
    status: int = 204
    pause_s: float = 0.0
    secrets: list[str] = field(default_factory=list)

    got: list[Request] = field(default_factory=list)
    """In the order of arrival, over all connections."""

    def answer(self, request: Request) -> Iterable[Step]:
        self.got.append(request)
        if self.pause_s:
            yield self.pause_s
        yield b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % self.status

    def events(self) -> list[dict[str, Any]]:
        """Every event, verified, those included that came more than once."""
        return [Verifier(self.secrets[0]).verify(each.body, each.headers) for each in list(self.got)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    upstream = Upstream()
    with upstream_in_background(upstream) as running:
        receiver = Receiver(running.base_url.replace("/v1", "/hook"))
        running.answers = {"": receiver.answer}
        yield receiver


def subscribe(server: Server, receiver: Receiver, *types: str) -> str:
    """The id of a webhook that this server has for this receiver."""
    made = server.ask("/api/v1/webhooks", json={"url": receiver.url, "types": list(types or ("*",))})
    assert made.status == 201, made.body
    receiver.secrets.append(made.json["secret"])
    return str(made.json["id"])


@contextmanager
def written_into(folder: Path) -> Iterator[Callable[..., list[Event]]]:
    """Writes events of these subjects into a server's database, as another process beside it would."""
    clock = SystemClock()
    database: Database = open_database(None, data_dir=folder / ".undercroft", pool_size=1, clock=clock)
    outbox = Outbox(clock)

    def tell(*subjects: str, type: Any = "job.running") -> list[Event]:
        facts = [Fact(type, JobData(id=subject, kind="chat")) for subject in subjects]
        return database.write_sync(lambda connection: outbox.append(connection, *facts))

    try:
        yield tell
    finally:
        database.close()


def settle(reached: Callable[[], bool], *, within_s: float) -> None:
    """Waits for it, and says for how long where it does not come."""
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)
