"""A disk that is really full: the kernel's own short writes and errors."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledger import ended, opened
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.ledger.disk import SystemDisk
from undercroft.ledger.reader import SpoolReader
from undercroft.ledger.spool import Spool
from undercroft.record import CallRecord

CLOCK = SystemClock()


def fill(spool: Spool) -> tuple[list[str], list[str]]:
    """Appends until the disk refuses: ids on disk, and the ids that are owed."""
    on_disk: list[str] = []
    for number in range(100_000):
        record = ended(f"call_{number:06}", end_user="x" * (number % 100))
        try:
            spool.append(record)
            on_disk.append(record.id)
        except Unavailable:
            with pytest.raises(Unavailable) as refused:
                spool.append(opened("new"))
            assert refused.value.code == "ledger_unavailable"
            return on_disk, [record.id]
    pytest.fail("the disk was never full")


def read(spool: Spool) -> list[str]:
    reader = SpoolReader(spool.folder, SystemDisk())
    ids: list[str] = []
    while batch := reader.following(is_alive=False):
        assert not batch.damage
        ids += [record.id for _, record in batch.records if isinstance(record, CallRecord)]
        reader.take(batch)
    return ids


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_file_system_refuses_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(40_000))
    spool = Spool(small_disk / "spool", clock=CLOCK, ids=Ids(CLOCK), segment_bytes=20_000)
    on_disk, owed = fill(spool)
    assert spool.problem == "No space left on device"
    assert read(spool) == on_disk
    ballast.unlink()
    spool.append(opened("after"))
    assert read(spool) == on_disk + owed
    asyncio.run(spool.close())


LIMITED = """
import sys
from pathlib import Path
from tests.integration.ledger.test_full_disk import limited
limited(Path(sys.argv[1]))
"""


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    """In a process of its own: the limit would hold for the tests' own files too."""
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], check=True, cwd=root, env={"PYTHONPATH": str(root)})


def limited(folder: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool = Spool(folder / "spool", clock=CLOCK, ids=Ids(CLOCK))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_001, most))
    on_disk, owed = fill(spool)
    assert read(spool) == on_disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    spool.append(opened("after"))
    assert read(spool) == on_disk + owed
    asyncio.run(spool.close())
