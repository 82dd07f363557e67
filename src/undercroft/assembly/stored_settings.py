"""Settings that name a secret of the encrypted store and are wanted at the start: read once, and at each reload."""

from collections.abc import Mapping
from functools import partial

from undercroft.assembly.secrets import StoredSecrets
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable, UndercroftError
from undercroft.settings.files import FileProblem
from undercroft.settings.model import Settings


class EncryptedStore:
    """A SecretStore over what was in the database."""

    def __init__(self, tokens: Mapping[str, str], secrets: StoredSecrets) -> None:
        self._tokens = tokens
        self._secrets = secrets

    def read(self, reference: str, /) -> str:
        """Raises FileProblem for what is not there, or cannot be read with the keys that are here."""
        token = self._tokens.get(reference)
        if token is None:
            raise FileProblem(f"there is no secret '{reference}'; type: undercroft secrets set {reference}")
        try:
            return self._secrets.open(token)
        except UndercroftError as error:
            raise FileProblem(str(error)) from error


def encrypted_store(settings: Settings) -> EncryptedStore:
    """The store of these settings' database; an SQLite file that is not there yet is made. Raises Unavailable."""
    # Imported here: without such settings, nothing of the database is needed before the port answers.
    from undercroft.access.secret_repository import tokens_in
    from undercroft.storage.engine import open_database

    url = settings.database.url
    database = open_database(
        url.get_secret_value() if url else None, data_dir=settings.data_dir, pool_size=1, clock=SystemClock()
    )
    try:
        state = database.state_sync()
        if state.kind in ("unreachable", "empty"):
            raise Unavailable(f"Settings name stored secrets, and these cannot be read: {state.reason}.")
        tokens = database.read_sync(partial(tokens_in, organisation="default"))
    finally:
        database.close()
    return EncryptedStore(tokens, StoredSecrets(settings))
