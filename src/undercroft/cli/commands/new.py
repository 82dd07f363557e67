"""`undercroft new`."""

import secrets
import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from undercroft import __version__
from undercroft.cli.commands.deploy import contents
from undercroft.cli.output import Output
from undercroft.cli.parser import add_json
from undercroft.deploy import env_file, folder, target, wheel
from undercroft.deploy.starter import STARTERS, files_of, find, project_name
from undercroft.deploy.topology import Options, Package, package_from, placeholders, topology
from undercroft.errors import InvalidRequest
from undercroft.settings.sources import FILE_NAME, load

HELP = """Makes a project to begin with, which runs as it is: it asks nothing and needs no network.

Example: undercroft new simple-api my-api
         undercroft new simple-api my-api --undercroft-source 1.0.0"""

PRIVATE: Final = ".env.example"
"""`cp` gives its copy the same mode, and the copy is to hold keys."""


def arguments(parser: ArgumentParser) -> None:
    choices = "; ".join(f"{name}: {starter.summary}" for name, starter in STARTERS.items())
    parser.add_argument("starter", metavar="TEMPLATE", help=choices)
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new or empty folder")
    parser.add_argument(
        "--undercroft-source", metavar="URL|VERSION", help="install undercroft from there (default: a wheel in vendor/)"
    )
    add_json(parser)


def run(options: Namespace, out: Output) -> int:
    starter = find(options.starter)
    package = package_from(options.undercroft_source, version=__version__)
    into: Path = options.folder
    _demand_empty(into)
    name = project_name(into.resolve().name)
    made = {path: text.encode() for path, text in files_of(options.starter, name=name, package=package).items()}
    if package.wheel is not None:
        made[f"vendor/{package.wheel}"] = wheel.build().content
    try:
        _make(into, made, starter.deployments, package=package)
    except OSError as error:
        raise InvalidRequest(f"cannot write {error.filename or into}: {error.strerror}; nothing was made") from error
    out.show(
        {"starter": options.starter, "folder": str(into), "name": name},
        text=f"{into} holds a {options.starter} project; its README.md has the next commands",
    )
    return 0


def _demand_empty(into: Path) -> None:
    """Raises InvalidRequest: nobody's files are mixed with ours, let alone replaced."""
    if into.exists() and not into.is_dir():
        raise InvalidRequest(f"{into} is a file; name a new or empty folder")
    try:
        there = sorted(entry.name for entry in into.iterdir()) if into.exists() else []
    except OSError as error:
        raise InvalidRequest(f"cannot read {into}: {error.strerror}") from error
    if there:
        more = ", …" if len(there) > 3 else ""
        raise InvalidRequest(f"{into} is not empty ({', '.join(there[:3])}{more}); name a new or empty folder")


def _make(into: Path, made: Mapping[str, bytes], deployments: Mapping[str, str], *, package: Package) -> None:
    """All of it in a folder beside its place, which is moved there when it is whole."""
    existed = into.exists()
    beside = into / ".undercroft-new" if existed else into.with_name(f".{into.name}.undercroft-new")
    beside.mkdir(parents=True)
    try:
        for path, content in made.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_bytes(content)
            if path == PRIVATE:
                (beside / path).chmod(0o600)
        for name, where in deployments.items():
            _render(name, beside, beside / where, package=package)
        if existed:
            for entry in beside.iterdir():
                entry.rename(into / entry.name)
        else:
            beside.rename(into)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _render(name: str, project: Path, into: Path, *, package: Package) -> None:
    """As `undercroft deploy render NAME` does in the project's folder."""
    text = (project / FILE_NAME).read_text("utf-8")
    loaded = load(config=None, environment=placeholders(text, {}), directory=project)
    source = None if package.wheel is not None else package.url or package.version
    described = topology(loaded, version=__version__, settings_file=text, options=Options(source=source))
    chosen = target.find(name)
    bundle = chosen.render(described)
    # README and the like are the project's own: what it brings along stays.
    files = {path: text for path, text in contents(bundle, described).items() if not (into / path).exists()}
    found = folder.look(into, name, files)
    folder.write(into, name, folder.changes(name, files, found), found, on_edited="refuse")
    if bundle.env:
        env_file.write_once(into / ".env", bundle.env, random_bytes=secrets.token_bytes)
