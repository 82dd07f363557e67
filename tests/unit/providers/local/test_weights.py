"""Getting the weights into place: small packages stand in for the real ones, everything else is as in production."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.local_models import weights as installed_weights
from tests.support.tiny_minilm import write_tiny_minilm
from undercroft.errors import Unavailable
from undercroft.providers.local.onnx_graph import build
from undercroft.providers.local.weights import Manifest, PinnedFile, folders, locate, main, manifest, pull, verify


class Packages:
    """Unpacks a chat model of a few bytes and a tiny MiniLM."""

    def __init__(self) -> None:
        self.times = 0
        self.damaged = False

    def __call__(self, into: Path, requirements: Sequence[str]) -> None:
        self.times += 1
        assert requirements == ("chat==1 --hash=sha256:00",)
        (into / "chat").mkdir()
        (into / "chat" / "model.gguf").write_bytes(b"GGUF cut" if self.damaged else b"GGUF whole")
        (into / "chat" / "code.py").write_text("raise SystemExit('imported')")
        (into / "minilm").mkdir()
        write_tiny_minilm(into / "minilm")

    def pins(self) -> Manifest:
        with TemporaryDirectory() as folder:
            made = Path(folder)
            self(made, ("chat==1 --hash=sha256:00",))
            self.times = 0
            build(made / "minilm", made / "graph.onnx")
            return Manifest(
                requirements=("chat==1 --hash=sha256:00",),
                files=(_pin(made, "chat/model.gguf", "smollm2/model.gguf"),),
                sources=(_pin(made, "minilm/model.safetensors", ""), _pin(made, "minilm/config.json", "")),
                graph=_pin(made, "graph.onnx", "minilm/model.onnx"),
            )


def _pin(folder: Path, source: str, target: str) -> PinnedFile:
    data = (folder / source).read_bytes()
    return PinnedFile(source=source, target=target, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_pull_leaves_the_data_files_and_nothing_else(tmp_path: Path) -> None:
    packages = Packages()
    pins = packages.pins()
    said: list[str] = []
    pull(tmp_path / "models", said.append, pins=pins, unpack=packages)
    assert _files(tmp_path / "models") == {".lock", "smollm2/model.gguf", "minilm/model.onnx"}
    assert verify(tmp_path / "models", pins=pins) == []
    assert said[-1] == "the models are ready"


def test_a_second_pull_only_checks(tmp_path: Path) -> None:
    packages = Packages()
    pins = packages.pins()
    pull(tmp_path, lambda _: None, pins=pins, unpack=packages)
    pull(tmp_path, lambda _: None, pins=pins, unpack=packages)
    assert packages.times == 1


def test_a_damaged_file_is_named_and_replaced(tmp_path: Path) -> None:
    packages = Packages()
    pins = packages.pins()
    pull(tmp_path, lambda _: None, pins=pins, unpack=packages)
    (tmp_path / "smollm2/model.gguf").write_bytes(b"GGUF wh0le")
    assert verify(tmp_path, pins=pins) == ["smollm2/model.gguf differs from its pinned sha256"]
    pull(tmp_path, lambda _: None, pins=pins, unpack=packages)
    assert verify(tmp_path, pins=pins) == []


def test_files_that_differ_from_their_pins_never_reach_their_place(tmp_path: Path) -> None:
    packages = Packages()
    pins = packages.pins()
    packages.damaged = True
    with pytest.raises(Unavailable, match=r"chat/model\.gguf .* differs from its pinned sha256"):
        pull(tmp_path, lambda _: None, pins=pins, unpack=packages)
    assert _files(tmp_path) == {".lock"}


def test_two_pulls_at_once_fetch_once(tmp_path: Path) -> None:
    packages = Packages()
    pins = packages.pins()
    said: list[str] = []
    is_unpacking, may_go_on = threading.Event(), threading.Event()

    def slowly(into: Path, requirements: Sequence[str]) -> None:
        is_unpacking.set()
        assert may_go_on.wait(20)
        packages(into, requirements)

    def hear(line: str) -> None:
        said.append(line)
        if "waiting" in line:
            may_go_on.set()

    first = threading.Thread(target=pull, args=(tmp_path, hear), kwargs={"pins": pins, "unpack": slowly})
    first.start()
    assert is_unpacking.wait(20)
    pull(tmp_path, hear, pins=pins, unpack=slowly)
    first.join()
    assert packages.times == 1
    assert said[-1] == f"the models in {tmp_path} are complete"


def test_a_pull_that_was_killed_is_made_good_by_the_next(tmp_path: Path) -> None:
    models = tmp_path / "models"
    script = (
        "import sys, time; from pathlib import Path; from undercroft.providers.local.weights import pull\n"
        "def unpack(into, requirements):\n"
        "    (into / 'half').write_bytes(b'x' * 1000); print('unpacking', flush=True); time.sleep(60)\n"
        "pull(Path(sys.argv[1]), lambda _: None, unpack=unpack)"
    )
    with subprocess.Popen([sys.executable, "-c", script, models], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "unpacking\n"
        process.send_signal(signal.SIGKILL)
    assert list(models.glob(".pull-*"))
    packages = Packages()
    pins = packages.pins()
    pull(models, lambda _: None, pins=pins, unpack=packages)
    assert _files(models) == {".lock", "smollm2/model.gguf", "minilm/model.onnx"}


def test_without_an_index_the_command_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PIP_NO_INDEX", "UV_NO_INDEX", "UV_OFFLINE"):
        monkeypatch.setenv(name, "1")
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(name, str(tmp_path))
    assert main(["--into", str(tmp_path / "models")]) == 1
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("The model packages could not be installed: ")
    assert _files(tmp_path / "models") == {".lock"}


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    with pytest.raises(Unavailable, match="cannot be written"):
        pull(tmp_path / "models", lambda _: None, unpack=Packages())


def test_weights_are_found_by_their_sizes_in_the_promised_order(tmp_path: Path) -> None:
    chosen, data = tmp_path / "chosen", tmp_path / "data"
    for folder in (chosen, data / "models"):
        for file in manifest().installed:
            path = folder / file.target
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as sparse:
                sparse.truncate(file.size)
    found = locate(chosen, data)
    assert found is not None
    assert found.folder == chosen
    (chosen / manifest().graph.target).write_bytes(b"cut short")
    found = locate(chosen, data)
    assert found is not None
    assert found.folder == data / "models"
    assert folders(chosen, data)[:3] == [chosen, data / "models", Path(sys.prefix) / "share/undercroft/models"]


def test_the_installed_weights_are_what_the_manifest_pins() -> None:
    assert verify(installed_weights().folder) == []


def test_the_manifest_is_complete() -> None:
    pins = manifest()
    for file in (*pins.files, *pins.sources, pins.graph):
        assert len(file.sha256) == 64
        assert file.size > 0
    assert json.dumps(pins.requirements).count("--hash=sha256:") == len(pins.requirements)
