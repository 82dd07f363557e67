"""HashiCorp Vault and OpenBao: `vault:PATH#FIELD`, from the key-value engine, version 2.

`vault:secret/openai#api_key` is the field `api_key` of `openai` in the engine mounted at `secret`. The server is found
as Vault's own tools find it: VAULT_ADDR, VAULT_TOKEN (or VAULT_TOKEN_FILE), VAULT_NAMESPACE, VAULT_CACERT.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from undercroft.settings.files import FileProblem, read_secret

TIMEOUT_S: Final = 10


class Vault:
    """A SecretStore over hvac's client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, reference: str, /) -> str:
        from hvac.exceptions import VaultError
        from requests.exceptions import RequestException  # noqa: TID251 - what hvac lets through

        path, _, field = reference.partition("#")
        mount, _, name = path.strip("/").partition("/")
        if not name or not field:
            raise FileProblem(f"vault:{reference} is no reference; write vault:MOUNT/PATH#FIELD")
        try:
            found = self._client.secrets.kv.v2.read_secret_version(
                path=name, mount_point=mount, raise_on_deleted_version=True
            )
        except (VaultError, RequestException) as error:
            raise FileProblem(f"vault:{path} cannot be read: {_reason(error)}") from error
        value = found["data"]["data"].get(field)
        if not isinstance(value, str):
            raise FileProblem(f"vault:{path} has no text in a field '{field}'")
        return value


def opened(environment: Mapping[str, str]) -> Vault:
    """The server that the environment names. Raises FileProblem."""
    address, token = environment.get("VAULT_ADDR"), environment.get("VAULT_TOKEN")
    if token is None and "VAULT_TOKEN_FILE" in environment:
        token = read_secret(Path(environment["VAULT_TOKEN_FILE"]).expanduser())
    if not address or not token:
        raise FileProblem("vault: needs VAULT_ADDR and VAULT_TOKEN")
    try:
        import hvac
    except ImportError as error:
        raise FileProblem("vault: needs a package; type: pip install 'undercroft[vault]'") from error
    return Vault(
        hvac.Client(
            url=address,
            token=token,
            namespace=environment.get("VAULT_NAMESPACE"),
            verify=environment.get("VAULT_CACERT", True),
            timeout=TIMEOUT_S,
        )
    )


def _reason(error: Exception) -> str:
    """In a line, without the address's credentials."""
    from requests.exceptions import ConnectionError as NoConnection  # noqa: TID251

    if isinstance(error, NoConnection):
        return "the server cannot be reached"
    return " ".join(str(error).split())[:200] or type(error).__name__
