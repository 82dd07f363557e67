"""A server of our own to be loaded, in a folder of its own, with nothing of the user's settings."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from undercroft.errors import Unavailable
from undercroft.planning.verification.load import Address
from undercroft.planning.verification.machine import Cores, pin

KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "UNDERCROFT_MODELS_DIR")
START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 20.0
WAIT_MS: Final = 80.0
"""Mean time that the stand-in provider takes to answer."""
WAIT_SCV: Final = 0.25
_LISTENING: Final = re.compile(r"undercroft is listening on http://127\.0\.0\.1:(\d+)")

GATEWAY: Final = """
[server]
workers = {workers}
[egress]
max_connections = 4096
[[models]]
name = "chat"
[[models.deployments]]
provider = "openai_compatible"
base_url = "http://127.0.0.1:{port}/v1"
model = "stand-in"
price = {{ input = "0", output = "0" }}
"""
LOCAL: Final = """
[local]
slots = 1
queue = 4096
threads = 1
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that can be loaded, and its process."""

    address: Address
    pid: int


@contextmanager
def gateway(cores: Cores, *, workers: int, seed: int) -> Iterator[Running]:
    """Our gateway before a stand-in provider that only waits. Raises Unavailable."""
    command = [
        sys.executable,
        "-m",
        "undercroft.planning.verification.stand_in",
        f"{WAIT_MS}",
        f"{WAIT_SCV}",
        f"{seed}",
    ]
    pin(cores.generator)
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stand_in:
        assert stand_in.stdout is not None
        try:
            port = int(stand_in.stdout.readline())
            with _serving(GATEWAY.format(workers=workers, port=port), cores) as running:
                yield running
        finally:
            stand_in.terminate()


@contextmanager
def local_model(cores: Cores) -> Iterator[Running]:
    """Our server with its bundled model, one answer at a time: one queue, one core. Raises Unavailable."""
    with _serving(LOCAL, cores) as running:
        yield running


@contextmanager
def _serving(toml: str, cores: Cores) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="undercroft-verify-") as name:
        folder = Path(name)
        (folder / "undercroft.toml").write_text(toml, encoding="utf-8")
        with (folder / "out").open("wb") as out:
            pin(cores.server)
            try:
                process = subprocess.Popen(
                    [sys.executable, "-m", "undercroft", "serve", "--port", "0"],
                    cwd=folder,
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
            finally:
                pin(cores.generator)
        try:
            yield Running(_ready(process, folder / "out"), process.pid)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT_S)
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """Without what would change the settings: the server is to be as it comes."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("PYTHON")}
    if "UNDERCROFT_MODELS_DIR" in kept:
        kept["UNDERCROFT_MODELS_DIR"] = str(Path(kept["UNDERCROFT_MODELS_DIR"]).absolute())
    return kept


def _ready(process: "subprocess.Popen[bytes]", output: Path) -> Address:
    """Where it listens, once it serves."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        found = _LISTENING.search(output.read_text("utf-8", errors="replace"))
        if found and _is_healthy(int(found[1])):
            return Address("127.0.0.1", int(found[1]))
        time.sleep(0.05)
    tail = " ".join(output.read_text("utf-8", errors="replace").split())[-500:]
    raise Unavailable(f"The server to be loaded did not start: {tail or 'it said nothing'}")


def _is_healthy(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET /health/ready HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


def chat_request(model: str, text: str, address: Address, *, most_tokens: int | None = None, key: str = "") -> bytes:
    """The bytes of one chat completion."""
    limit = "" if most_tokens is None else f',"max_tokens":{most_tokens}'
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"{text}"}}],"temperature":0{limit}}}'
    authorisation = f"authorization: Bearer {key}\r\n" if key else ""
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address.host}:{address.port}\r\n{authorisation}"
        f"content-type: application/json\r\naccept: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()
