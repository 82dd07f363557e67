"""The image: as it was reviewed, and what must hold whatever is described."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.checkout import free_port
from tests.support.deploy import compare, described, rendered
from undercroft.deploy.topology import Options

EVERYTHING = """
[deploy.images]
registry = "mirror.example/hub"
[deploy.build]
with_model = true
index_url = "https://packages.example/root"
ca_file = "ca.pem"
"""


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("docker", rendered("docker", described(tmp_path)))


def test_a_mirror_an_index_and_certificates_are_settings(tmp_path: Path) -> None:
    dockerfile = rendered("docker", described(tmp_path, EVERYTHING))["Dockerfile"]

    assert "ARG PYTHON_IMAGE=mirror.example/hub/python:3.11-slim\n" in dockerfile
    assert "ARG PIP_INDEX_URL=https://packages.example/root\n" in dockerfile
    assert "COPY vendor/ca.pem" in dockerfile
    assert "COPY --from=build /etc/ssl/certs/ca-certificates.crt" in dockerfile
    assert "ARG WITH_MODEL=true\n" in dockerfile


def test_a_release_is_installed_without_a_wheel_and_without_locks(tmp_path: Path) -> None:
    files = rendered("docker", described(tmp_path, options=Options(source="2.0.0")))

    assert "install 'undercroft[postgres,redis,celery,qdrant]==2.0.0'" in files["Dockerfile"]
    assert "vendor" not in files["Dockerfile"]
    assert not any(path.startswith("requirements") for path in files)


def test_code_of_ones_own_goes_into_the_image_and_is_what_runs(tmp_path: Path) -> None:
    text = '[deploy.build]\ncode = ["api", "jobs"]\ncommand = ["uvicorn", "api.main:app", "--port", "8000"]'
    files = rendered("docker", described(tmp_path, text))

    assert "COPY api api\nCOPY jobs jobs\n" in files["Dockerfile"]
    assert files["Dockerfile"].endswith('CMD ["uvicorn", "api.main:app", "--port", "8000"]\n')
    assert "!api/\n" in files[".dockerignore"]
    assert 'CMD ["undercroft", "serve"]' not in files["Dockerfile"]
    # In Kubernetes the image is that of the project: there is no second place to build it in.
    assert not [path for path in rendered("kubernetes", described(tmp_path, text)) if path.startswith("image/")]


def test_the_same_topology_gives_the_same_files(tmp_path: Path) -> None:
    described_once = described(tmp_path, EVERYTHING)

    assert rendered("docker", described_once) == rendered("docker", described_once)


def test_every_file_says_how_it_was_made(tmp_path: Path) -> None:
    for path, text in rendered("docker", described(tmp_path)).items():
        assert "Made by `undercroft deploy render docker`" in "\n".join(text.splitlines()[:4]), path


class Answer(BaseHTTPRequestHandler):
    """Says what the test wants."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_port_that_it_is_told(status: int, code: int, tmp_path: Path) -> None:
    check = tmp_path / "healthcheck.py"
    check.write_text(rendered("docker", described(tmp_path))["healthcheck.py"])
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Answer,), {"status": status}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        environment = {"PORT": str(server.server_address[1])}
        ended = subprocess.run([sys.executable, "-SI", str(check)], env=environment, check=False, capture_output=True)
    finally:
        server.shutdown()
        server.server_close()

    assert ended.returncode == code


def test_the_health_check_fails_where_nothing_listens(tmp_path: Path) -> None:
    check = tmp_path / "healthcheck.py"
    check.write_text(rendered("docker", described(tmp_path))["healthcheck.py"])
    ended = subprocess.run(
        [sys.executable, "-SI", str(check)],
        env={"PORT": str(free_port())},
        check=False,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr.partition(":")[0][:26]) == (
        1,
        "nothing answers on port " + ended.stderr[24:26],
    )


def test_manage_py_is_the_command_under_another_name(tmp_path: Path) -> None:
    script = tmp_path / "manage.py"
    script.write_text(rendered("docker", described(tmp_path))["manage.py"])
    ended = subprocess.run(
        [sys.executable, str(script), "migrate", "--help"], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    assert "Brings the database to the current schema" in ended.stdout


def test_what_is_left_of_a_library_still_loads(tmp_path: Path) -> None:
    import _sqlite3

    source = Path(_sqlite3.__file__)
    package = tmp_path / "lib" / "site-packages"
    (package / "tests").mkdir(parents=True)
    (package / "note.so.txt").write_text("no library")
    (package / "stub.pyi").write_text("")
    copy = package / source.name
    copy.write_bytes(source.read_bytes())
    script = tmp_path / "slim.py"
    script.write_text(rendered("docker", described(tmp_path))["slim.py"])
    subprocess.run([sys.executable, str(script), str(tmp_path / "lib")], check=True)

    assert copy.stat().st_size < source.stat().st_size
    assert not (package / "tests").exists()
    assert not (package / "stub.pyi").exists()
    assert (package / "note.so.txt").read_text() == "no library"
    loads = f"import sys; sys.path.insert(0, {str(package)!r}); import _sqlite3; print(_sqlite3.__file__)"
    found = subprocess.check_output([sys.executable, "-c", loads], text=True)
    assert found.strip() == str(copy)
