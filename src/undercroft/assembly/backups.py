"""What of an installation goes into a backup, and where a backup goes."""

from pathlib import Path
from typing import TYPE_CHECKING

from undercroft.assembly.files import FOLDER, blobs_of
from undercroft.assembly.secrets import StoredSecrets
from undercroft.backups.backup import Source
from undercroft.backups.restore import Target
from undercroft.settings.model import Settings
from undercroft.vectors.stores.embedded.store import FILE

if TYPE_CHECKING:
    from undercroft.storage.engine import Database


def source_of(settings: Settings, database: "Database", *, with_keys: bool) -> Source:
    """Everything that is there. Raises ConfigurationError for a key file that cannot be read."""
    vectors = vectors_of(settings)
    return Source(
        database=database,
        blobs=blobs_of(settings, database),
        vectors=vectors if vectors is not None and vectors.exists() else None,
        keys=StoredSecrets(settings).keys() if with_keys else (),
    )


def target_of(settings: Settings, database: "Database", *, key_file: Path | None) -> Target:
    """Where each part goes. `key_file` is where the keys are put that this installation has no place for."""
    secrets = StoredSecrets(settings)
    return Target(
        database=database,
        blobs=blobs_of(settings, database),
        blobs_folder=settings.data_dir.absolute() / FOLDER if settings.file_store == "directory" else None,
        vectors=vectors_of(settings),
        keys=secrets.keys(),
        key_file=key_file or secrets.file,
    )


def vectors_of(settings: Settings) -> Path | None:
    """The embedded vector store's file, where that is the store."""
    return settings.data_dir.absolute() / FILE if settings.vectors.chosen == "embedded" else None
