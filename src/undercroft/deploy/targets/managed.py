"""What hosts of containers share whose disks are gone when a container is: Cloud Run, Container Apps, Fargate."""

from collections.abc import Iterator, Mapping
from typing import Final

from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets.docker import image_files
from undercroft.deploy.topology import REQUIRED, Topology

SETTINGS: Final = "/app/undercroft.toml"
"""Where the image has the settings file: such hosts mount none."""
MIGRATION: Final = frozenset({"UNDERCROFT_MASTER_KEY", "ENCRYPTION_KEY", "DATABASE_URL"})
"""What the migration is told."""
_REACHED_BY_DEFAULT: Final = frozenset({*REQUIRED, "OPENAI_API_KEY"})


def problems(topology: Topology) -> Iterator[str]:
    """What keeps this from running on such a host."""
    if topology.database == "sqlite":
        yield (
            'deploy.database is "sqlite", and what a container writes to its disk is gone with it; write database = '
            '"external", and the address of a managed PostgreSQL as the secret database-url'
        )
    if topology.gpu.count:
        yield (
            f"deploy.gpu.count is {topology.gpu.count}, and what is rendered here asks for no card; name a provider's "
            "model under [[models]], or render kubernetes or compose"
        )


def secrets_of(topology: Topology) -> dict[str, str]:
    """Variables from the host's store of secrets, each with its key. All have to be there: what the description has
    no use for is left out (`redis = false`, `qdrant = false`), and Celery's broker is PostgreSQL, which needs none.
    """
    return {
        secret.variable: secret.key
        for secret in topology.secrets
        if secret.required
        or secret.variable in _REACHED_BY_DEFAULT
        or (secret.variable == "REDIS_URL" and topology.has_redis)
        or (secret.variable == "QDRANT_URL" and topology.has_qdrant)
    }


def variables(topology: Topology) -> dict[str, str]:
    """Variables that are no secrets: a call's record is in the database before the answer ends."""
    told = {"UNDERCROFT_LEDGER__DURABILITY": "database"}
    return {"UNDERCROFT_CONFIG": SETTINGS, **told} if topology.settings_file is not None else told


def build_commands(topology: Topology, *, image: str | None = None) -> str:
    """How the image is made, indented as README's blocks are. Where code of your own lies beside a Dockerfile that is
    there already, what is built here goes on top of that one.
    """
    build, image = "    docker build --platform linux/amd64", image or topology.images.application
    if not topology.build.code:
        made = f"{build} --tag {image} image\n"
    elif topology.settings_file is None:
        made = f"{build} --tag {image} ..\n"
    else:
        own = f"{topology.name}-code"
        made = f"{build} --tag {own} ..\n{build} --build-arg CODE_IMAGE={own} --tag {image} image\n"
    return f"{made}    docker push {image}"


def bundle(topology: Topology, files: Mapping[str, str], *, target: str) -> Bundle:
    """The files with the image's folder, in which the settings file lies too."""
    if not topology.build.code:
        image = image_files(topology, target=target, is_with_settings=True)
        return Bundle({**files, **_in_image(image)}, vendored_at="image/vendor")
    if topology.settings_file is None:
        return Bundle(files, vendored_at=None)
    made = made_by(target)
    on_top = {
        "Dockerfile": f"{made}ARG CODE_IMAGE\n\nFROM ${{CODE_IMAGE}}\nCOPY undercroft.toml /app/\n",
        "undercroft.toml": made + topology.settings_file,
    }
    return Bundle({**files, **_in_image(on_top)}, vendored_at=None)


def _in_image(files: Mapping[str, str]) -> dict[str, str]:
    return {f"image/{path}": text for path, text in files.items()}


WHAT_IT_IS: Final = """\
## What differs from one host

- A container's disk is gone with it. `[ledger] durability` is `database`: an answer's last byte waits until its record
  is committed, and while the database is away no call starts.
- Jobs are told of by PostgreSQL (`LISTEN`/`NOTIFY`); no broker is needed.
- Secrets are the host's: a new value is in force with the next version of a container.
"""
