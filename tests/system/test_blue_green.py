"""Versions switched under load: no request lost, a bad one taken back, the host killed in the middle.

Prints what it measured; how long an answer takes beside a version that starts is no claim on a shared machine.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployed import Deployed, deployed
from tests.support.server import Finished, until
from tests.support.swap_load import SwapLoad
from tests.support.swaps import provider, switched, taken_back, version
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform != "linux", reason="not run: needs Linux")]

ANSWERS = 20_000


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with provider() as made:
        yield made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Deployed]:
    with deployed(tmp_path) as made:
        yield made


class Switching(threading.Thread):
    """`undercroft deploy switch`, meanwhile."""

    def __init__(self, host: Deployed, *arguments: str) -> None:
        super().__init__()
        self._host = host
        self._arguments = arguments
        self.finished: Finished | None = None
        self.start()

    def run(self) -> None:
        self.finished = self._host.deploy("switch", *self._arguments)


def test_no_request_is_lost_in_a_switch_nor_when_the_host_is_killed_in_the_middle_of_one(
    host: Deployed, upstream: Upstream
) -> None:
    host.done("up", settings=version("one", upstream))
    with SwapLoad(host.port, kept=16, fresh=4, streams=4) as load:
        done = switched(host, upstream, load)
        assert "v2 has all traffic" in done.said

        host.done("up", settings=version("three", upstream))
        switching = Switching(host)
        until(lambda: host.state["move"] is not None and host.state["move"]["step"] >= 1, within_s=60)
        host.kill_host()
        switching.join()
        load.goes_on_for(2000)  # while there is no host
        assert not host.is_hosted
        host.done("up")  # a new one: it adopts both, and goes on with the switch
        until(lambda: host.state["active"] == "v3" and host.state["move"] is None, within_s=120)
        load.goes_on_for(max(ANSWERS - len(load.seen.answers), 1000))
        assert host.chat() == "three"
    seen = load.seen
    p99_ms = done.p99_ms(seen)
    print(
        f"\n{len(seen.answers)} answers and {len(seen.streams)} streams, {seen.failed} failed, {seen.reconnects} "
        f"connections asked to connect anew; p99 {p99_ms['before']} ms before, {p99_ms['during']} ms during the switch"
    )
    assert len(seen.answers) >= ANSWERS
    assert len(seen.streams) >= 20
    assert seen.broken == []
    assert seen.failed == 0


def test_a_version_that_is_bad_only_under_load_is_taken_back_within_ten_seconds(
    host: Deployed, upstream: Upstream
) -> None:
    # Clients that rest: with ones that do not, the share is a measure of how fast this machine fails a call.
    taken = taken_back(host, upstream, pause_s=0.05)
    seen = taken.seen
    print(
        f"\ntaken back after {taken.took_s:.1f} s; {seen.failed} of {len(seen.answers)} answers failed "
        f"({taken.failed_share:.2%})"
    )
    assert taken.command.exit_code == 1
    assert "v2 was taken back, v1 has all traffic again" in taken.command.stderr
    assert taken.took_s < 100  # ten times what is promised; what it was is printed
    assert seen.broken == []
    assert 0 < taken.failed_share < 0.01
    assert host.chat() == "one"


def test_versions_end_when_they_are_taken_down(host: Deployed, upstream: Upstream) -> None:
    host.done("up", settings=version("one", upstream))
    host.done("down")

    listing = subprocess.check_output(["ps", "-A", "-o", "args="], text=True)
    assert not [line for line in listing.splitlines() if str(host.home) in line]
