"""`undercroft deploy`."""

import os
import secrets
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, get_args

from undercroft import __version__
from undercroft.cli.commands import deploy_host
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.deploy import env_file, folder, wheel
from undercroft.deploy.bundle import Bundle
from undercroft.deploy.folder import Change, Found
from undercroft.deploy.target import Target, find, names
from undercroft.deploy.topology import Layout, Options, Topology, placeholders, topology
from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.settings.files import FileProblem, read_text
from undercroft.settings.sources import FILE_NAME, load

HELP = """Writes deployment files and checks them; brings versions up side by side and moves the traffic between them.

Both go by [deploy] of undercroft.toml.

Example: undercroft deploy render compose --out stack
         undercroft deploy render kubernetes --out k8s --diff
         undercroft deploy check stack
         undercroft deploy up"""

ALL: Final = "all"

_RENDER = """Writes the files for one target, or for all. A file that was edited since is never replaced silently.

Example: undercroft deploy render compose --out stack
         undercroft deploy render compose --out stack --layout microservices
         undercroft deploy render kubernetes --out k8s --region eu-west-1
         undercroft deploy render all --out deployment"""

_CHECK = """Looks for what refers to nothing and what is not safe, and runs the validators that are installed.

Exit code 1 if something is wrong.  Example: undercroft deploy check stack"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    render = actions.add_parser("render", help="writes the files for a target", description=_RENDER)
    render.add_argument("target", metavar="TARGET", help=f"one of {', '.join(names())}; {ALL}: each of them")
    render.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help=f"folder to write to; {ALL}: one in it each"
    )
    render.add_argument("--diff", action="store_true", help="only show what would change")
    render.add_argument(
        "--edited",
        choices=("refuse", "keep", "overwrite"),
        default="refuse",
        help="what to do with files that were edited by hand (default: refuse to write anything)",
    )
    render.add_argument(
        "--undercroft-source", metavar="URL|VERSION", help="install undercroft from there (default: a wheel in vendor/)"
    )
    model = render.add_mutually_exclusive_group()
    model.add_argument("--with-model", action="store_true", default=None, help="build the bundled models in")
    model.add_argument("--without-model", dest="with_model", action="store_false", help="leave the bundled models out")
    render.add_argument("--publish-ports", action="store_true", help="publish Redis and Qdrant on loopback too")
    render.add_argument(
        "--layout",
        choices=get_args(Layout),
        default="standard",
        help="compose: API and worker (default), all in one container, or a container for each role",
    )
    render.add_argument("--region", metavar="NAME", help="only this one of the regions under [deploy]")
    add_config(render)
    add_json(render)
    check = actions.add_parser("check", help="checks a folder of deployment files", description=_CHECK)
    check.add_argument("folder", type=Path, metavar="DIR", help="folder to look into")
    add_json(check)
    deploy_host.arguments(actions)


def run(options: Namespace, out: Output) -> int:
    match options.action:
        case "check":
            return _check(options, out)
        case "render":
            return _render(options, out)
        case _:
            return deploy_host.run(options, out)


def _check(options: Namespace, out: Output) -> int:
    from undercroft.deploy.check import check

    report = check(options.folder)
    lines = [
        f"{found.severity:<8} {': '.join(filter(None, (found.file, found.where, found.text)))}"
        for found in report.findings
    ]
    lines.append("ok       own checks" if not lines else f"         own checks: {len(report.findings)} findings")
    lines += [f"{each.status:<8} {each.tool}" + (f": {each.detail}" if each.detail else "") for each in report.tools]
    out.show(report, text="\n".join(lines))
    return 0 if report.ok else 1


def _render(options: Namespace, out: Output) -> int:
    if options.layout != "standard" and options.target != "compose":
        raise InvalidRequest(f"--layout is for compose, and {options.target} has one layout;", hint="leave it out.")
    is_all = options.target == ALL
    targets = [find(name) for name in names()] if is_all else [find(options.target)]
    described = _topology(options, out)
    problems = [
        f"{target.name}: {problem}" if is_all else problem
        for target in targets
        for problem in target.problems(described)
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    out_dir: Path = options.out
    renderings = [_rendering(each, described, out_dir / each.name if is_all else out_dir) for each in targets]
    if options.diff:
        _show_difference([change for each in renderings for change in each.below(out_dir)], out)
        return 0
    if options.edited == "refuse":  # before anything is written
        for each in renderings:
            folder.refuse_edited(each.into, each.target.name, each.planned)
    for each in renderings:
        folder.write(each.into, each.target.name, each.planned, each.found, on_edited=options.edited)
    _tell(renderings, out, is_all=is_all)
    for each in renderings:
        if each.bundle.env:
            _write_env(each.bundle, each.into, out)
    return 0


@dataclass(frozen=True, slots=True)
class _Rendering:
    """What one target would write, and where."""

    target: Target
    into: Path
    bundle: Bundle
    found: Found
    planned: list[Change]

    def below(self, folder: Path) -> list[Change]:
        """The same, by paths in that folder."""
        return [replace(each, path=(self.into / each.path).relative_to(folder).as_posix()) for each in self.planned]


def _rendering(target: Target, described: Topology, into: Path) -> _Rendering:
    bundle = target.render(described)
    files = contents(bundle, described)
    found = folder.look(into, target.name, files)
    return _Rendering(target, into, bundle, found, folder.changes(target.name, files, found))


def _topology(options: Namespace, out: Output) -> Topology:
    config = options.config or Path(os.environ.get("UNDERCROFT_CONFIG") or FILE_NAME)
    try:
        text = read_text(config) if config.exists() else None
    except FileProblem as problem:
        raise ConfigurationError(str(problem)) from None
    environment = placeholders(text or "", os.environ) | os.environ
    loaded = load(config=options.config, environment=environment, directory=Path.cwd())
    for warning in loaded.warnings:
        out.note(f"warning: {warning}")
    chosen = Options(
        source=options.undercroft_source,
        with_model=options.with_model,
        publish_ports=options.publish_ports,
        region=options.region,
        layout=options.layout,
    )
    return topology(loaded, version=__version__, settings_file=text, options=chosen)


@cache
def _wheel() -> wheel.Wheel:
    """Made once, however many targets take it along."""
    return wheel.build()


def contents(bundle: Bundle, described: Topology) -> Mapping[str, bytes]:
    """The files with what is copied beside them."""
    files = {path: text.encode() for path, text in bundle.files.items()}
    if bundle.vendored_at is None:
        return files
    if described.package.wheel is not None:
        made = _wheel()
        files[f"{bundle.vendored_at}/{made.name}"] = made.content
    if described.build.ca_file is not None:
        try:
            files[f"{bundle.vendored_at}/ca.pem"] = read_text(described.build.ca_file).encode()
        except FileProblem as problem:
            raise ConfigurationError(f"deploy.build.ca_file: {problem}") from None
    return files


def _show_difference(planned: Sequence[Change], out: Output) -> None:
    differing = [change for change in planned if change.kind != "unchanged"]
    value = [{"path": change.path, "change": change.kind, "diff": "\n".join(change.diff())} for change in differing]
    text = "\n".join("\n".join(change.diff()) for change in differing)
    out.show({"changes": value}, text=text or "nothing would change")


def _tell(renderings: Sequence[_Rendering], out: Output, *, is_all: bool) -> None:
    values, lines = [], []
    for each in renderings:
        name, into, planned = each.target.name, each.into, each.planned
        files = [{"path": change.path, "change": change.kind} for change in planned]
        values.append({"target": name, "folder": str(into), "files": files})
        lines += [f"{change.kind:<10}{into / change.path}" for change in planned if change.kind != "unchanged"]
        lines.append(f"{into} holds {len(planned)} files for {name}; README.md there has the next commands")
    out.show({"targets": values} if is_all else values[0], text="\n".join(lines))


def _write_env(bundle: Bundle, into: Path, out: Output) -> None:
    path = into / ".env"
    existed = path.exists()
    lacking = env_file.write_once(path, bundle.env, random_bytes=secrets.token_bytes)
    if lacking:
        raise InvalidRequest(
            f"{path} was there and lacks {', '.join(lacking)};",
            hint="add a line NAME=value for each, or delete the file.",
        )
    out.note(
        f"{path} was there and stays as it is" if existed else f"made {path} with random secrets; keep a copy of it"
    )
