"""Hears that jobs ran: each appends to one file when, and in which process, and waits for nobody."""

import os
import struct
import time
from pathlib import Path
from typing import Final

RECORD: Final = struct.Struct("dq")
LIMIT_S: Final = 300.0
SAYS: Final = """
import os, struct, time
said = os.open(os.environ["BENCH_EAR"], os.O_WRONLY | os.O_APPEND)
def say():
    os.write(said, struct.pack("dq", time.time(), os.getpid()))
"""
"""What a job's module begins with."""


class Ear:
    """The file, and how far it was read."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ear"
        self.path.touch()
        self._file = os.open(self.path, os.O_RDONLY)
        self.heard = 0

    def hear(self, count: int, *, every_s: float = 0.002) -> list[tuple[float, int]]:
        """The next `count` runs, once they have begun: when, as time.time() has it, and in which process."""
        size = (self.heard + count) * RECORD.size
        deadline = time.monotonic() + LIMIT_S
        while os.fstat(self._file).st_size < size:
            assert time.monotonic() < deadline, "jobs do not run"
            time.sleep(every_s)
        read = os.pread(self._file, count * RECORD.size, self.heard * RECORD.size)
        self.heard += count
        return list(RECORD.iter_unpack(read))

    def one(self) -> float:
        """When the next job began to run."""
        ((began, _),) = self.hear(1, every_s=0.0001)
        return began

    def close(self) -> None:
        os.close(self._file)
