"""Versions switched while clients call: what the system test holds to its promises and the benchmark writes down."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.background import upstream_in_background
from tests.support.deployed import Deployed, toml
from tests.support.server import Finished
from tests.support.swap_load import Seen, SwapLoad
from tests.support.upstream import DONE, STREAM_HEAD, Request, Step, Upstream, delta, event

PIECES = 30
PIECE_S = 0.1
WARM = 2000
"""Answers before anything is measured."""


def slow(request: Request) -> Iterable[Step]:
    """A stream of three seconds."""
    yield STREAM_HEAD
    yield event(delta("one", role="assistant"))
    for _ in range(PIECES):
        yield PIECE_S
        yield event(delta(" more"))
    yield event(delta(finish_reason="stop"))
    yield DONE


@contextmanager
def provider() -> Iterator[Upstream]:
    """What streams come from."""
    with upstream_in_background() as made:
        made.answers |= {"slow": slow}
        yield made


def version(word: str, upstream: Upstream, *, more: str = "", host: str = "") -> str:
    """Settings of one whose model says that word."""
    streamed = f'[[models]]\nname = "slow"\ndeployments = [{_behind(upstream)}]'
    host = f"max_latency_factor = 100\n{host}"  # a shared machine is no measure of how long answers take
    return toml(word, more=f"{streamed}\n{more}", host=host).replace("step_s = 0.3", "step_s = 1.5")


def bad_version(upstream: Upstream) -> str:
    """One that is bad under load alone: its probe goes to a model that works, and everybody calls another one."""
    upstream.answers |= {"chat": lambda request: [b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}"]}
    return version("fine", upstream, more="[reliability]\ntries = 1", host='probe_model = "fine"').replace(
        '[[models]]\nname = "chat"',
        f'[[models]]\nname = "chat"\ndeployments = [{_behind(upstream)}]\n[[models]]\nname = "fine"',
        1,
    )


def _behind(upstream: Upstream) -> str:
    return f'{{ provider = "openai_compatible", base_url = "{upstream.base_url}" }}'


@dataclass(frozen=True)
class Switched:
    """A good version that has taken over under load, by moments of the monotonic clock."""

    quiet: tuple[float, float]
    """Before anything began."""
    starting: tuple[float, float]
    """The new version came up beside the one that served."""
    moving: tuple[float, float]
    """The traffic moved."""
    after: tuple[float, float]
    said: str

    def p99_ms(self, seen: Seen) -> dict[str, float]:
        spans = {"before": self.quiet, "starting": self.starting, "during": self.moving, "after": self.after}
        return {name: seen.p99_ms(*span) for name, span in spans.items()}


def switched(host: Deployed, upstream: Upstream, load: SwapLoad, *, answers: int = 3000) -> Switched:
    """Version two takes over from version one, which serves; quiet periods last for so many answers."""
    load.goes_on_for(WARM)
    began = time.monotonic()
    load.goes_on_for(answers)
    up = time.monotonic()
    host.done("up", settings=version("two", upstream))
    moved = time.monotonic()
    said = host.done("switch")
    settled = time.monotonic()
    load.goes_on_for(answers)
    return Switched((began, up), (up, moved), (moved, settled), (settled, time.monotonic()), said)


@dataclass(frozen=True)
class TakenBack:
    """What came of a bad version."""

    seen: Seen
    took_s: float
    """From the command to its end."""
    command: Finished

    @property
    def failed_share(self) -> float:
        return self.seen.failed / len(self.seen.answers)


def taken_back(host: Deployed, upstream: Upstream, *, pause_s: float) -> TakenBack:
    """A bad version is switched to, where nothing is up yet."""
    host.done("up", settings=version("one", upstream))
    with SwapLoad(host.port, kept=16, fresh=4, pause_s=pause_s) as load:
        load.goes_on_for(1000)
        host.done("up", settings=bad_version(upstream))
        began = time.monotonic()
        command = host.deploy("switch")
        took_s = time.monotonic() - began
        load.goes_on_for(5000)
    return TakenBack(load.seen, took_s, command)
