"""The one command that gives a cluster its secrets."""

from typing import Final

from undercroft.deploy.targets.kubernetes.pods import SECRET
from undercroft.deploy.topology import Topology

_LITERALS: Final = {
    "UNDERCROFT_MASTER_KEY": "\"$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')\"",
    "ENCRYPTION_KEY": '"$(head -c 32 /dev/urandom | base64 | tr +/ -_)"',
    "DATABASE_URL": "'postgresql://USER:PASSWORD@HOST:5432/NAME'",
    "REDIS_URL": "'redis://HOST:6379/0'",
    "CELERY_BROKER_URL": "'redis://HOST:6379/1'",
    "QDRANT_URL": "'http://HOST:6333'",
}


def creation(topology: Topology) -> str:
    """The command, indented as README's blocks are."""
    lines = [
        f"        --from-literal={secret.key}={_LITERALS.get(secret.variable, 'sk-…')}" for secret in topology.secrets
    ]
    return " \\\n".join([f"    kubectl create secret generic {SECRET}", *lines])
