"""A discrete-event simulation of requests, replicas, their provider and an autoscaler.

One loop over a heap of what is to happen; arrivals are merged in, since most events are theirs. A request is a list,
not an object: a million of them pass in seconds, and nothing else here is fast.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from typing import Final

from undercroft.planning.autoscale import Patience, wanted
from undercroft.planning.scenario import Scenario
from undercroft.planning.timeline import Run, Tally

DONE, TIMEOUT, RETRY, TICK, READY, MARK = range(6)
FIRST, ARRIVED, TRIES, STATE = range(4)
"""Of a request: when its client first came, when this try arrived, tries so far, and what became of this try."""
WAITING, SERVED, GONE, OVER = range(4)
FINE, OUTAGE, REFUSED = range(3)
REPORT_EVERY: Final = 20_000

Request = list[float]
Progress = Callable[[int], None]


class Replica:
    """What one replica has at work and in its own queue; with a shared queue only the first one is used."""

    __slots__ = ("busy", "queue")

    def __init__(self) -> None:
        self.busy = 0
        self.queue: deque[Request] = deque()


class Simulation:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario.check()
        self._rng = random.Random(scenario.seed)  # noqa: S311 - a simulation repeats
        self._tally = Tally(scenario.steps, scenario.duration_s, scenario.warm_up_s)
        self._events: list[tuple[float, int, int, Request | None, Replica | None, int]] = []
        self._number = 0
        self._is_shared = scenario.routing == "shared"
        self._count = scenario.replicas
        """Replicas that take requests."""
        self._starting = 0
        self._replicas = [Replica() for _ in range(1 if self._is_shared else scenario.replicas)]
        self._busy = 0
        self._queued = 0
        self._now = 0.0
        self._busy_s = self._slot_s = self._replica_s = 0.0
        self._marked = (0.0, 0.0)
        self._seen = (0.0, 0.0)
        self._most = scenario.replicas
        self._patience = Patience(scenario.autoscaler.patience_s)
        self._tokens = self._bucket = max(1.0, (scenario.provider.requests_per_minute or 0) / 60)
        self._filled = 0.0

    def run(self, progress: Progress = lambda _: None) -> Run:
        """To the scenario's end. `progress` is called with the arrivals since it was called last."""
        scenario, tally, events = self._scenario, self._tally, self._events
        for place in range(scenario.steps):
            self._plan(min((place + 1) * tally.step_s, scenario.duration_s), MARK)
        if scenario.autoscaler.policy != "none":
            self._plan(scenario.autoscaler.every_s, TICK)
        exponential = self._rng.expovariate
        came = 0
        for end, rate in scenario.segments():
            # After a change of rate the wait begins anew, which changes nothing: it has no memory.
            due = self._now + exponential(rate) if rate > 0 else math.inf
            while due < end:
                while events and events[0][0] <= due:
                    self._happen(heapq.heappop(events))
                self._move(due)
                tally.arrivals[tally.step(due)] += 1
                self._arrive([due, due, 1, WAITING])
                came += 1
                if came % REPORT_EVERY == 0:
                    progress(REPORT_EVERY)
                due += exponential(rate)
            while events and events[0][0] <= end:
                self._happen(heapq.heappop(events))
            self._move(end)
        progress(came % REPORT_EVERY)
        return tally.run(
            duration_s=scenario.duration_s,
            unfinished=sum(tally.arrivals) - sum(map(len, tally.latencies)) - sum(tally.failed),
            busy=self._busy_s / self._slot_s if self._slot_s else 0.0,
            replica_s=self._replica_s,
            most=self._most,
        )

    def _plan(
        self, moment: float, kind: int, request: Request | None = None, replica: Replica | None = None, how: int = FINE
    ) -> None:
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, kind, request, replica, how))

    def _move(self, now: float) -> None:
        """Lets time pass: what was busy until now is added up."""
        passed = now - self._now
        self._busy_s += self._busy * passed
        self._slot_s += self._count * self._scenario.slots * passed
        self._replica_s += (self._count + self._starting) * passed
        self._now = now

    def _happen(self, event: tuple[float, int, int, Request | None, Replica | None, int]) -> None:
        now, _, kind, request, replica, how = event
        self._move(now)
        if kind == DONE:
            assert request is not None
            assert replica is not None
            self._finish(request, replica, how)
        elif kind == TIMEOUT:
            assert request is not None
            if request[STATE] in (WAITING, SERVED):
                self._queued -= request[STATE] == WAITING
                request[STATE] = GONE
                self._tally.timeouts += 1
                self._fail(request)
        elif kind == RETRY:
            assert request is not None
            self._tally.retries[self._tally.step(now)] += 1
            self._arrive([request[FIRST], now, request[TRIES] + 1, WAITING])
        elif kind == TICK:
            self._scale()
        elif kind == READY:
            self._add_replica()
        else:
            self._mark()

    def _arrive(self, request: Request) -> None:
        timeout = self._scenario.clients.timeout_s
        if timeout is not None:
            self._plan(self._now + timeout, TIMEOUT, request)
        replica = self._choose()
        if replica.busy < self._room():
            self._start(request, replica)
        else:
            replica.queue.append(request)
            self._queued += 1

    def _room(self) -> int:
        """Slots behind one queue."""
        return self._scenario.slots * (self._count if self._is_shared else 1)

    def _choose(self) -> Replica:
        replicas = self._replicas
        if self._is_shared:
            return replicas[0]
        one = replicas[int(self._rng.random() * len(replicas))]
        if self._scenario.routing == "random":
            return one
        other = replicas[int(self._rng.random() * len(replicas))]
        return one if one.busy + len(one.queue) <= other.busy + len(other.queue) else other

    def _start(self, request: Request, replica: Replica) -> None:
        scenario, now = self._scenario, self._now
        request[STATE] = SERVED
        self._tally.started(request[ARRIVED], now)
        replica.busy += 1
        self._busy += 1
        provider = scenario.provider
        if provider.requests_per_minute is not None and not self._allowed(provider.requests_per_minute):
            self._plan(now, DONE, request, replica, REFUSED)
        elif provider.outages and any(each.start_s <= now < each.end_s for each in provider.outages):
            self._plan(now + provider.failing_s, DONE, request, replica, OUTAGE)
        else:
            services = scenario.services
            self._plan(now + services[int(self._rng.random() * len(services))], DONE, request, replica)

    def _allowed(self, per_minute: float) -> bool:
        self._tokens = min(self._bucket, self._tokens + (self._now - self._filled) * per_minute / 60)
        self._filled = self._now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _finish(self, request: Request, replica: Replica, how: int) -> None:
        replica.busy -= 1
        self._busy -= 1
        if request[STATE] != GONE:
            request[STATE] = OVER
            if how == FINE:
                self._tally.answered(request[FIRST], self._now)
            else:
                self._tally.refused += how == REFUSED
                self._tally.outage_failures += how == OUTAGE
                self._fail(request)
        self._pull(replica)

    def _pull(self, replica: Replica) -> None:
        """Starts what waits, as far as there is room. Clients that have hung up are passed over."""
        queue = replica.queue
        while queue and replica.busy < self._room():
            request = queue.popleft()
            if request[STATE] != GONE:
                self._queued -= 1
                self._start(request, replica)

    def _fail(self, request: Request) -> None:
        """The try has failed: the client comes again, or gives up for good."""
        clients, tries = self._scenario.clients, int(request[TRIES])
        if tries > clients.retries:
            self._tally.failed[self._tally.step(self._now)] += 1
            return
        pause = clients.backoff_s * 2 ** (tries - 1) * (0.5 + self._rng.random() / 2)
        self._plan(self._now + pause, RETRY, request)

    def _scale(self) -> None:
        scaler = self._scenario.autoscaler
        busy_s, slot_s = self._busy_s - self._seen[0], self._slot_s - self._seen[1]
        self._seen = (self._busy_s, self._slot_s)
        count = wanted(
            scaler,
            replicas=self._count,
            busy=busy_s / slot_s if slot_s else 0.0,
            queue=self._queued,
            under_way=self._queued + self._busy,
        )
        current = self._count + self._starting
        decided = self._patience.decide(self._now, count, current)
        for _ in range(decided - current):
            self._starting += 1
            self._plan(self._now + scaler.start_s, READY)
        for _ in range(min(current - decided, self._count - 1)):
            self._remove_replica()
        self._plan(self._now + scaler.every_s, TICK)

    def _add_replica(self) -> None:
        self._starting -= 1
        self._count += 1
        self._most = max(self._most, self._count)
        if self._is_shared:
            self._pull(self._replicas[0])
        else:
            self._replicas.append(Replica())

    def _remove_replica(self) -> None:
        """It ends what it has begun; what waits in its queue goes to the others."""
        self._count -= 1
        if self._is_shared:
            return
        leaving = self._replicas.pop()
        for request in leaving.queue:
            if request[STATE] != GONE:
                self._queued -= 1
                replica = self._choose()
                if replica.busy < self._room():
                    self._start(request, replica)
                else:
                    replica.queue.append(request)
                    self._queued += 1
        leaving.queue.clear()

    def _mark(self) -> None:
        busy_s, slot_s = self._busy_s - self._marked[0], self._slot_s - self._marked[1]
        self._marked = (self._busy_s, self._slot_s)
        busy = busy_s / slot_s if slot_s else 0.0
        self._tally.states.append((self._queued, self._queued + self._busy, self._count, busy))


def simulate(scenario: Scenario, progress: Progress = lambda _: None) -> Run:
    """Runs the scenario. Raises OutOfRange for what cannot be simulated."""
    return Simulation(scenario).run(progress)
