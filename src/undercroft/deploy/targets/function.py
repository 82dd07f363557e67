"""What all serverless functions share: what they cannot do, and what they are given."""

import tomllib
from collections.abc import Iterator
from typing import Final

from undercroft.deploy.bundle import made_by
from undercroft.deploy.topology import Topology
from undercroft.settings.deployment import CALLS_END_EARLIER_S

SECRETS: Final[tuple[str, ...]] = ("UNDERCROFT_MASTER_KEY", "DATABASE_URL", "ENCRYPTION_KEY", "OPENAI_API_KEY")
"""Of those that every deployment may have, what a function has a use for."""
MOST_UNPACKED_MB: Final = 250
"""Both hosts take no more than this, and the bundled models alone have half of it."""


def problems(topology: Topology) -> Iterator[str]:
    """What keeps this from running as a function: the setting, the reason, and what to write."""
    if topology.database == "sqlite":
        yield (
            'deploy.database is "sqlite", and a function\'s disk is gone with it; write database = "external", and set '
            "DATABASE_URL where it runs"
        )
    if topology.build.with_model:
        yield (
            f"deploy.build.with_model is true, and a function may not have more than {MOST_UNPACKED_MB} MB; leave it "
            "out, and name a provider's model under [[models]]"
        )
    for number, provider in _local_models(topology.settings_file or ""):
        yield (
            f"models[{number}] is answered by {provider}, which a function has no room for; name a provider's model, "
            "or deploy containers"
        )


def secrets_of(topology: Topology) -> dict[str, str]:
    """The variables that a function gets, each with its key in the secret."""
    own = {secret.variable: secret.key for secret in topology.secrets}
    shared = {variable: own.pop(variable) for variable in SECRETS if variable in own}
    known = {"REDIS_URL", "CELERY_BROKER_URL", "QDRANT_URL"}
    return {**shared, **{variable: key for variable, key in own.items() if variable not in known}}


def settings_file(topology: Topology, *, target: str) -> str:
    """`undercroft.toml` as it goes along."""
    return made_by(target) + (topology.settings_file or "")


def what_it_is(topology: Topology) -> str:
    """What a reader has to know of functions, for both READMEs."""
    timeout_s = topology.function.timeout_s
    return f"""\
## What differs from a server

- It keeps nothing: what is to last is in PostgreSQL. What a call used is committed there before the last byte of its
  answer leaves, so that a function that is frozen or ended right then loses no record. One that the host ends in the
  middle of a call (a crash, out of memory) takes that call's record along; calls end by themselves after
  {timeout_s - CALLS_END_EARLIER_S} s, before the {timeout_s} s of the host.
- Streams arrive whole, when they are complete: both SDKs read them all the same.
- `background` of `/v1/responses` is refused, and jobs are for workers: nothing runs between requests. Expired responses
  are deleted by the next server or worker on the same database.
- Limits and breakers are each function's own.
- The bundled models do not fit in: it answers with a provider's.
"""


def _local_models(text: str) -> Iterator[tuple[int, str]]:
    for number, model in enumerate(tomllib.loads(text).get("models", [])):
        for deployment in model["deployments"]:
            if deployment["provider"] in ("local", "local_embedding"):
                yield number, deployment["provider"]
