"""What of an installation goes into a backup, and where a backup goes."""

from pathlib import Path
from typing import TYPE_CHECKING

from undercroft.assembly.files import FOLDER
from undercroft.assembly.secrets import StoredSecrets
from undercroft.backups.backup import Source
from undercroft.backups.restore import Target
from undercroft.files.blobs.database import DatabaseBlobs
from undercroft.files.blobs.disk import Disk
from undercroft.settings.encryption import encryption_keys
from undercroft.settings.model import Settings
from undercroft.vectors.stores.embedded.store import FILE

if TYPE_CHECKING:
    from undercroft.files.blob import BlobStore
    from undercroft.storage.engine import Database


def source_of(settings: Settings, database: "Database", *, with_keys: bool) -> Source:
    """Everything that is there. Raises ConfigurationError for a key file that cannot be read."""
    vectors = vectors_of(settings)
    return Source(
        database=database,
        blobs=_blobs(settings, database),
        vectors=vectors if vectors is not None and vectors.exists() else None,
        keys=keys_of(settings) if with_keys else (),
    )


def target_of(settings: Settings, database: "Database", *, key_file: Path | None) -> Target:
    """Where each part goes. `key_file` is where the keys are put that this installation has no place for."""
    own = StoredSecrets(settings).file
    return Target(
        database=database,
        blobs=_blobs(settings, database),
        blobs_folder=settings.data_dir.absolute() / FOLDER if settings.file_store == "directory" else None,
        vectors=vectors_of(settings),
        keys=keys_of(settings),
        key_file=key_file or own,
    )


def keys_of(settings: Settings) -> tuple[str, ...]:
    """The encryption keys in force: ENCRYPTION_KEY's, or those of the key file where there is one."""
    if settings.encryption_key is not None:
        return encryption_keys(settings.encryption_key.get_secret_value())
    file = StoredSecrets(settings).file
    return encryption_keys(file.read_text("utf-8").strip()) if file is not None and file.exists() else ()


def vectors_of(settings: Settings) -> Path | None:
    """The embedded vector store's file, where that is the store."""
    return settings.data_dir.absolute() / FILE if settings.vectors.chosen == "embedded" else None


def _blobs(settings: Settings, database: "Database") -> "BlobStore":
    match settings.file_store:
        case "directory":
            return Disk(settings.data_dir.absolute() / FOLDER)
        case "database":
            return DatabaseBlobs(database)
