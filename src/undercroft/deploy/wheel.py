"""undercroft itself as a wheel, made from the files that run here: no build tool, no network, no release.

The same files make the same bytes, whenever and wherever: fixed times, modes and order, nothing compressed.
"""

import base64
import hashlib
import io
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import undercroft
from undercroft.errors import ConfigurationError

_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT: Final = ("__pycache__", ".pyc")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file for pip."""

    name: str
    content: bytes


def file_name(version: str) -> str:
    """What a wheel of this version is called."""
    return f"undercroft-{version}-py3-none-any.whl"


def build() -> Wheel:
    """Raises ConfigurationError where undercroft runs neither from a checkout nor from an installed wheel."""
    package = Path(undercroft.__file__).parent
    return Wheel(file_name(undercroft.__version__), packed(_package_files(package), _described(package)))


def packed(package: Mapping[str, bytes], described: Mapping[str, bytes]) -> bytes:
    """The archive of a package's files and those of its `.dist-info`, with a record of them all."""
    info = f"undercroft-{undercroft.__version__}.dist-info"
    contents = {**package, **{f"{info}/{name}": content for name, content in described.items()}}
    ordered = dict(sorted(contents.items()))
    record = "".join(f"{path},sha256={_hash(content)},{len(content)}\n" for path, content in ordered.items())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as wheel:
        for path, content in {**ordered, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            entry = zipfile.ZipInfo(path, _MOMENT)
            entry.external_attr = 0o100644 << 16
            wheel.writestr(entry, content)
    return archive.getvalue()


def _package_files(package: Path) -> dict[str, bytes]:
    return {
        path.relative_to(package.parent).as_posix(): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and not path.as_posix().endswith(_LEFT_OUT[1]) and _LEFT_OUT[0] not in path.parts
    }


def _described(package: Path) -> dict[str, bytes]:
    """The contents of `.dist-info`: of a checkout from its pyproject.toml, otherwise as installed."""
    wheel = b"Wheel-Version: 1.0\nGenerator: undercroft\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    project = package.parents[1] / "pyproject.toml"
    if package.parent.name == "src" and project.is_file():
        described = from_project(project)
    else:
        try:
            described = _as_installed(distribution("undercroft"))
        except PackageNotFoundError:
            raise ConfigurationError(
                f"No wheel can be made of {package}: it is neither a checkout nor an installed package.",
                hint="Name a release or an address with --undercroft-source.",
            ) from None
    return {**described, "WHEEL": wheel}


def from_project(project: Path) -> dict[str, bytes]:
    """METADATA, entry points and licence, from a pyproject.toml and what lies beside it."""
    declared: dict[str, Any] = tomllib.loads(project.read_text("utf-8"))["project"]
    licence = declared["license-files"][0]
    scripts = "".join(f"{name} = {target}\n" for name, target in declared["scripts"].items())
    readme = (project.parent / declared["readme"]).read_text("utf-8")
    return {
        "METADATA": ("\n".join(_metadata(declared)) + f"\n\n{readme}").encode(),
        "entry_points.txt": f"[console_scripts]\n{scripts}".encode(),
        f"licenses/{licence}": (project.parent / licence).read_bytes(),
    }


def _metadata(declared: Mapping[str, Any]) -> Iterator[str]:
    yield "Metadata-Version: 2.4"
    yield f"Name: {declared['name']}"
    yield f"Version: {undercroft.__version__}"
    yield f"Summary: {declared['description']}"
    yield f"Author: {', '.join(author['name'] for author in declared['authors'])}"
    yield f"License-Expression: {declared['license']}"
    yield from (f"License-File: {each}" for each in declared["license-files"])
    yield f"Keywords: {','.join(declared['keywords'])}"
    yield from (f"Classifier: {each}" for each in declared["classifiers"])
    yield f"Requires-Python: {declared['requires-python']}"
    yield from (f"Requires-Dist: {each}" for each in declared["dependencies"])
    for extra, requirements in declared["optional-dependencies"].items():
        yield f"Provides-Extra: {extra}"
        for requirement in requirements:
            name, _, marker = requirement.partition(";")
            condition = f"({marker.strip()}) and extra == '{extra}'" if marker else f"extra == '{extra}'"
            yield f"Requires-Dist: {name.strip()}; {condition}"
    yield "Description-Content-Type: text/markdown"


def _as_installed(installed: Distribution) -> dict[str, bytes]:
    described = {}
    for path in installed.files or ():
        folder, *rest = path.parts
        if folder.endswith(".dist-info") and (rest[0] in ("METADATA", "entry_points.txt") or rest[0] == "licenses"):
            described["/".join(rest)] = path.read_binary()
    return described


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
