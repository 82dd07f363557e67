"""Stand-ins for the public images, made of Debian's packages under the public names: nothing is pulled.

They hold what the originals hold, in the versions of Debian: Python 3.11, PostgreSQL 15, Redis 7. For Qdrant there is
no package; in its place stands a program that says it is ready.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support import vllm_stand_in
from tests.support.docker_engine import Engine, NoEngine
from undercroft.deploy.targets.docker_gpu import VLLM
from undercroft.settings.deployment import DeployImages

INCLUDED: Final = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates,postgresql-15,redis-server"
PYTHON, POSTGRES, REDIS, QDRANT = "python:3.11-slim", "postgres:15", "redis:7-alpine", "vector-db-stand-in:1"
CUDA: Final = DeployImages().cuda

_NO_CLUSTER: Final = (
    'mkdir -p "$1/etc/postgresql-common" '
    '&& echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"'
)
_LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")

_BASE: Final = """\
FROM rootfs
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN rm -f /usr/lib/python3.11/EXTERNALLY-MANAGED
CMD ["python3"]
"""

_POSTGRES_START: Final = """\
#!/bin/bash
# What the official image does: makes the cluster and its owner once, then becomes the server.
set -euo pipefail
data=/var/lib/postgresql/data
mkdir -p "$data" /var/run/postgresql
chown -R postgres: "$data" /var/run/postgresql
chmod 700 "$data"
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
if [ ! -s "$data/PG_VERSION" ]; then
    (umask 077 && echo "$POSTGRES_PASSWORD" > /tmp/password && chown postgres: /tmp/password)
    as initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 \\
        --encoding=UTF8 --locale=C.UTF-8 -D "$data"
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
    as pg_ctl -D "$data" -w -o "-c listen_addresses=" start
    PGPASSWORD="$POSTGRES_PASSWORD" createdb -h /var/run/postgresql -U "$POSTGRES_USER" "$POSTGRES_DB"
    as pg_ctl -D "$data" -w stop
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups postgres -D "$data" -c listen_addresses='*'
"""

_POSTGRES: Final = f"""\
FROM {PYTHON}
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
COPY --chmod=755 start.sh /start.sh
STOPSIGNAL SIGINT
ENTRYPOINT ["/start.sh"]
"""

_REDIS: Final = f"""\
FROM {PYTHON}
WORKDIR /data
ENTRYPOINT ["sh", "-c", "exec \\"$@\\" --protected-mode no", "sh"]
CMD ["redis-server"]
"""

_QDRANT: Final = f"""\
FROM {PYTHON}
COPY ready.py /ready.py
CMD ["python3", "/ready.py"]
"""

_CUDA: Final = """\
FROM rootfs
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY *.whl /wheels/
RUN for wheel in /wheels/*.whl; do echo "vllm @ file://$wheel"; done > /wheels/constraints.txt
ENV PIP_CONSTRAINT=/wheels/constraints.txt
"""

_READY: Final = """\
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

ThreadingHTTPServer(("0.0.0.0", 6333), Ready).serve_forever()
"""


def make(engine: Engine, folder: Path) -> None:
    """All of them. Raises NoEngine where Debian's packages cannot be had."""
    archive = _rootfs(engine, folder)
    build(engine, folder, archive)
    archive.unlink()


def _rootfs(engine: Engine, folder: Path) -> Path:
    """An archive of a small Debian with everything that the stand-ins need."""
    archive = folder / "rootfs.tar"
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={INCLUDED}",
        f"--essential-hook={_NO_CLUSTER}",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT),
        engine.release,
        str(archive),
        engine.mirror,
    ]
    with _memory(folder / "unpacked") as unpacked:
        environment = {**os.environ, "TMPDIR": str(unpacked)}
        made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise NoEngine(f"mmdebstrap failed: {made.stderr.strip().splitlines()[-1]}")
    return archive


@contextmanager
def _memory(folder: Path) -> Iterator[Path]:
    """A folder in memory: unpacking packages waits for the disk after every file."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def build(engine: Engine, folder: Path, archive: Path) -> None:
    """The images, from the archive."""
    engine.docker("import", archive, "rootfs")
    certificates = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    _build(engine, folder, PYTHON, _BASE, {"ca-certificates.crt": certificates.read_text()})
    _build(engine, folder, POSTGRES, _POSTGRES, {"start.sh": _POSTGRES_START})
    _build(engine, folder, REDIS, _REDIS, {})
    _build(engine, folder, QDRANT, _QDRANT, {"ready.py": _READY})


def _build(engine: Engine, folder: Path, name: str, dockerfile: str, files: Mapping[str, str | bytes]) -> None:
    context = folder / "image"
    context.mkdir()
    for path, content in {**files, "Dockerfile": dockerfile}.items():
        (context / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    engine.docker("build", "--quiet", "--network=host", "--tag", name, context)
    shutil.rmtree(context)


def make_cuda(engine: Engine, folder: Path) -> None:
    """In place of the CUDA runtime: the same Debian without CUDA, in which vLLM is a stand-in."""
    certificates = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    wheel = vllm_stand_in.wheel(folder, VLLM)
    _build(
        engine, folder, CUDA, _CUDA, {"ca-certificates.crt": certificates.read_bytes(), wheel.name: wheel.read_bytes()}
    )


def size_mb(engine: Engine, name: str) -> float:
    """Bytes of all layers, in MB."""
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", name)) / 1e6
