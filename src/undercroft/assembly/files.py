"""Files in a running server: where their bytes are, and the duty of deleting what has expired."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.files.types import StoredFile
from undercroft.ids import Ids
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from undercroft.files.blob import BlobStore
    from undercroft.files.cabinet import Cabinet, Transactions
    from undercroft.wire.openai.files import FileObject

FOLDER: Final = "files"
"""Of the data directory."""
DUTY: Final = "files-retention"
SWEEP_S: Final = 300.0
LEASE_US: Final = 600_000_000


class FileOffice:
    """Files of this process, whatever the configuration becomes."""

    def __init__(self, settings: Settings, *, link: DatabaseLink, ids: Ids, clock: Clock) -> None:
        self._settings = settings
        self._link = link
        self._ids = ids
        self._clock = clock
        self._holder = ids.new("holder_")
        self._cabinet: Cabinet | None = None

    async def cabinet(self) -> "Cabinet":
        """Raises Unavailable while the database is away."""
        await self._link.first_look()
        self._link.database()
        return self.opened()

    def opened(self) -> "Cabinet":
        """The same, whether or not the database is there: whoever uses it then gets Unavailable."""
        if self._cabinet is None:
            self._cabinet = cabinet_of(self._settings, database=self._link, ids=self._ids, clock=self._clock)
        return self._cabinet

    @contextlib.asynccontextmanager
    async def running(self, *, is_frozen: bool = False) -> AsyncIterator[None]:
        """Deletes what has expired for as long as the block lasts."""
        if is_frozen:
            yield
            return
        async with alongside(self._run()):
            yield

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            try:
                await self._sweep()
            except Unavailable as error:
                get_logger("undercroft.files").debug("files_not_swept", reason=str(error))

    async def _sweep(self) -> None:
        if await self._link.has_duty(DUTY, holder=self._holder, lease_us=LEASE_US):
            await (await self.cabinet()).sweep()


def cabinet_of(settings: Settings, *, database: "Transactions", ids: Ids, clock: Clock) -> "Cabinet":
    """The files of the server whose settings these are."""
    # Imported here, with SQLAlchemy, once the port has long been answering.
    from undercroft.files.cabinet import Cabinet

    return Cabinet(database, blobs_of(settings, database), ids=ids, clock=clock)


def blobs_of(settings: Settings, database: "Transactions") -> "BlobStore":
    """Where the bytes of files are."""
    from undercroft.files.blobs.database import DatabaseBlobs
    from undercroft.files.blobs.disk import Disk

    match settings.file_store:
        case "directory":
            return Disk(settings.data_dir.absolute() / FOLDER)
        case "database":
            return DatabaseBlobs(database)


def told(file: StoredFile) -> "FileObject":
    """A file as the wire has it."""
    from undercroft.wire.openai.files import FileObject

    return FileObject(
        id=file.id,
        bytes=file.size_bytes,
        created_at=file.created_us // 1_000_000,
        expires_at=file.expires_us // 1_000_000 if file.expires_us else None,
        filename=file.filename,
        purpose=file.purpose,
    )
