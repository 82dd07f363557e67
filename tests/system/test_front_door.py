"""The rendered Caddyfile in Caddy itself: it is taken as it is, and HTTPS leads to a server, streams included."""

import http.client
import json
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.checkout import free_port
from tests.support.debian import program
from tests.support.deploy import described, rendered
from tests.support.http import Answer
from tests.support.server import SCRIPTED, serving
from undercroft.deploy.topology import Options

pytestmark = pytest.mark.system

LIMIT_S = 60
MASTER = "a-master-key-of-more-than-16-characters"
WITHOUT_ROOT = "{{\n\tskip_install_trust\n\tadmin off\n\thttp_port {http}\n\thttps_port {https}\n}}\n"


def caddy() -> Path:
    path = program("caddy", package="caddy")
    if path is None:
        pytest.skip("not run: caddy is not here, and Debian's package cannot be fetched")
    return path


@pytest.mark.parametrize(
    ("target", "path", "options"),
    [
        ("compose", "proxy/Caddyfile", Options()),
        ("compose", "proxy/Caddyfile", Options(layout="microservices")),
        ("systemd", "Caddyfile", Options()),
    ],
)
def test_caddy_takes_the_file_as_it_is(target: str, path: str, options: Options, tmp_path: Path) -> None:
    text = rendered(target, described(tmp_path, '[deploy]\ndomain = "ai.example.com"\n', options))[path]
    (tmp_path / "Caddyfile").write_text(text)
    done = subprocess.run(
        [caddy(), "validate", "--adapter", "caddyfile", "--config", "Caddyfile"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Valid configuration" in done.stdout + done.stderr


@contextmanager
def door(folder: Path, port: int) -> Iterator[int]:
    """Caddy in front of that port, on ports that need no root, with a certificate of its own authority."""
    https = free_port()
    text = rendered("systemd", described(folder, f"[deploy.ports]\napi = {port}\n"))["Caddyfile"]
    (folder / "Caddyfile").write_text(WITHOUT_ROOT.format(http=free_port(), https=https) + text)
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [caddy(), "run", "--adapter", "caddyfile", "--config", "Caddyfile"],
            cwd=folder,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
            stdout=log,
            stderr=log,
        )
    try:
        yield https
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def asked(https: int, path: str, body: object = None) -> Answer:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # its authority is of this minute
    headers = {"authorization": f"Bearer {MASTER}", "content-type": "application/json"}
    with closing(http.client.HTTPSConnection("localhost", https, timeout=LIMIT_S, context=context)) as connection:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def until_open(https: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            status = asked(https, "/health").status
        except OSError:
            status = 0
        if status == 200:
            return
        assert time.monotonic() < deadline, "nothing answers over HTTPS"
        time.sleep(0.1)


def test_https_leads_to_the_server_and_streams_pass(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    extra = {"UNDERCROFT_MASTER_KEY": MASTER}
    with serving(tmp_path / "server", toml=SCRIPTED, extra=extra) as server, door(tmp_path, server.port) as https:
        until_open(https)
        answer = asked(https, "/api/generate", {"prompt": "Hi", "stream": True})
        frames = re.findall(r"^data: (.*)$", answer.body.decode(), re.MULTILINE)

        assert answer.status == 200
        assert frames[-1] == "[DONE]"
        assert len(frames) > 3
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert "server" not in answer.headers
        assert asked(https, "/metrics").status == 404
