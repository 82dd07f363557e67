"""One collection of the embedded store, open: its resident, kept current, and the upkeep of what is derived."""

import sqlite3
import threading
from pathlib import Path
from typing import Final

from undercroft.clock import Clock
from undercroft.storage.table_file import TableFile
from undercroft.telemetry.logs import get_logger
from undercroft.vectors.filters import Filter, leaves
from undercroft.vectors.stores.embedded import snapshot, truth
from undercroft.vectors.stores.embedded.graph import Graph
from undercroft.vectors.stores.embedded.planner import GRAPH_FROM
from undercroft.vectors.stores.embedded.resident import Resident, View
from undercroft.vectors.types import CollectionSpec

STALE_SHARE: Final = 0.05
"""Points that the graph lacks, of all, before it is extended."""
STALE_POINTS: Final = 2000
"""And at least so many."""
DEAD_SHARE: Final = 0.3
"""Removed points, of all, before everything is derived again without them."""
AGAIN_S: Final = 5.0
"""How long upkeep waits for the process that has the turn."""
FAILED_S: Final = 60.0
"""How long upkeep that failed (a full disk) is left alone."""
SMALL: Final = 256
"""Rows that are taken in sooner than a thread is asked."""


class Shelf:
    """Threads may use one at once."""

    def __init__(
        self,
        file: TableFile,
        located: truth.Located,
        *,
        folder: Path,
        clock: Clock,
        threads: int,
        keeps_up: bool,
    ) -> None:
        self.number, self.spec = located.number, located.spec
        self.folder = folder
        self._located = located
        self._file = file
        self._clock = clock
        self._threads = threads
        self._keeps_up = keeps_up
        self._changing = threading.Lock()
        self._resident: Resident | None = None
        self._version = -1
        self._upkeep: threading.Thread | None = None
        self._is_closing = threading.Event()
        self._not_before = 0.0

    def current(self, where: Filter | None, *, version: int) -> View | None:
        """The collection as the file has it at this version of its own; None where there is something to read."""
        resident = self._resident
        if resident is None or version != self._version:
            return None
        if where is not None and any(leaf.field not in resident.view.columns for leaf in leaves(where)):
            return None
        self._look_after(resident)
        return resident.view

    def is_nearly_current(self, where: Filter | None) -> bool:
        """Whether `view` would have little to do, and nothing to wait for."""
        resident = self._resident
        if (
            resident is None
            or self._changing.locked()
            or any(leaf.field not in resident.view.columns for leaf in leaves(where))
        ):
            return False
        return self._file.read(lambda connection: truth.last_row(connection) - resident.last_row) <= SMALL

    def view(self, where: Filter | None = None) -> View:
        """The collection as the truth has it now, with what the filter asks about."""
        if (view := self.current(where, version=self._file.version())) is not None:
            return view
        with self._changing:
            version = self._file.version()  # before the reading: what comes in between is read again
            if version != self._version or self._resident is None:
                self._resident = self._file.read(self._caught_up)
                self._version = version
            resident = self._resident
            self._file.read(lambda connection: resident.learn(connection, where))
        self._look_after(resident)
        return resident.view

    @property
    def memory_bytes(self) -> int:
        return 0 if self._resident is None else self._resident.memory_bytes

    @property
    def index(self) -> str:
        """What stands in for the points, in words."""
        if self._resident is None:
            return "not open"
        view = self._resident.view
        parts = ["exact"] if view.planes is None else ["signs"]
        if view.graph is not None:
            parts.insert(0, f"hnsw over {view.graph.length} of {view.number}")
        return ", ".join(parts)

    def close(self) -> None:
        self._is_closing.set()
        if self._upkeep is not None:
            self._upkeep.join()

    def settle(self) -> None:
        """Returns when upkeep that is under way has ended."""
        upkeep = self._upkeep
        if upkeep is not None:
            upkeep.join()

    def _caught_up(self, connection: sqlite3.Connection) -> Resident:
        resident = self._resident
        if resident is None:
            resident = self._opened(connection)
        resident.catch_up(connection)
        return resident

    def _opened(self, connection: sqlite3.Connection) -> Resident:
        restored = snapshot.load(self.folder, self._located, connection)
        if restored is None:
            room = truth.count_after(connection, self.number, 0)
            return Resident(self.number, self.spec, room=room)
        restored.resident.use(restored.graph)
        return restored.resident

    # Upkeep

    def _look_after(self, resident: Resident) -> None:
        """Begins to extend the graph, or to derive everything again, when that is due."""
        busy = self._upkeep is not None and self._upkeep.is_alive()
        if not self._keeps_up or busy or not is_due(resident.view, self.spec):
            return
        if self._is_closing.is_set() or self._clock.monotonic() < self._not_before:
            return
        self._upkeep = threading.Thread(target=self._keep_up, args=(resident,), name="undercroft-vectors", daemon=True)
        self._upkeep.start()

    def _keep_up(self, resident: Resident) -> None:
        try:
            with snapshot.turn(self.folder) as is_ours:
                if is_ours:
                    self._derive(resident)
                else:
                    self._not_before = self._clock.monotonic() + AGAIN_S
        except Exception:  # noqa: BLE001 - the thread's outermost edge: searches go on without
            self._not_before = self._clock.monotonic() + FAILED_S
            get_logger("undercroft.vectors").exception("upkeep_failed", collection=self.spec.name)

    def _derive(self, resident: Resident) -> None:
        graph = resident.view.graph
        if snapshot.latest(self.folder) > (0 if graph is None else int(resident.view.rows[graph.length - 1])):
            self._replace(self._file.read(self._opened))  # another process has done it
            return
        if dead_share(resident.view) > DEAD_SHARE:
            graph = None
            resident = Resident(self.number, self.spec, room=resident.view.living)
            self._file.read(resident.catch_up)
        view = resident.view
        graph = graph or Graph(self.spec, is_unit=resident.is_unit)
        done = graph.extend(
            view.vectors, length=view.number, threads=self._threads, goes_on=lambda: not self._is_closing.is_set()
        )
        if done:
            self._replace(resident, graph)
            snapshot.save(self.folder, resident, graph)

    def _replace(self, resident: Resident, graph: Graph | None = None) -> None:
        with self._changing:
            version = self._file.version()
            self._file.read(resident.catch_up)
            if graph is not None:
                resident.use(graph)
            self._resident, self._version = resident, version


def dead_share(view: View) -> float:
    return 1 - view.living / view.number if view.number >= GRAPH_FROM else 0.0


def is_due(view: View, spec: CollectionSpec) -> bool:
    """Whether the graph lacks too much, or holds too much that is gone."""
    if spec.index.kind == "none" or view.number < GRAPH_FROM:
        return False
    covered = view.graph.length if view.graph is not None else 0
    return view.number - covered > max(STALE_POINTS, STALE_SHARE * view.number) or dead_share(view) > DEAD_SHARE
