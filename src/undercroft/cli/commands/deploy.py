"""`undercroft deploy`."""

import os
import secrets
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from undercroft import __version__
from undercroft.cli.commands import deploy_host
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.deploy import env_file, folder, wheel
from undercroft.deploy.bundle import Bundle
from undercroft.deploy.folder import Change
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

_RENDER = """Writes the files for one target. A file that was edited since is never replaced silently.

Example: undercroft deploy render compose --out stack
         undercroft deploy render compose --out stack --layout microservices
         undercroft deploy render kubernetes --out k8s --region eu-west-1"""

_CHECK = """Looks for what refers to nothing and what is not safe, and runs the validators that are installed.

Exit code 1 if something is wrong.  Example: undercroft deploy check stack"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    render = actions.add_parser("render", help="writes the files for one target", description=_RENDER)
    render.add_argument("target", metavar="TARGET", help=f"one of {', '.join(names())}")
    render.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
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
    target = find(options.target)
    if options.layout != "standard" and target.name != "compose":
        raise InvalidRequest(f"--layout is for compose, and {target.name} has one layout;", hint="leave it out.")
    described = _topology(options, out)
    if problems := list(target.problems(described)):
        raise ConfigurationError("\n".join(problems))
    bundle = target.render(described)
    into: Path = options.out
    files = contents(bundle, described)
    found = folder.look(into, target.name, files)
    planned = folder.changes(target.name, files, found)
    if options.diff:
        _show_difference(planned, out)
        return 0
    folder.write(into, target.name, planned, found, on_edited=options.edited)
    _tell(target, planned, into, out)
    if bundle.env:
        _write_env(bundle, into, out)
    return 0


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


def contents(bundle: Bundle, described: Topology) -> Mapping[str, bytes]:
    """The files with what is copied beside them."""
    files = {path: text.encode() for path, text in bundle.files.items()}
    if bundle.vendored_at is None:
        return files
    if described.package.wheel is not None:
        made = wheel.build()
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


def _tell(target: Target, planned: Sequence[Change], into: Path, out: Output) -> None:
    rows = [{"path": change.path, "change": change.kind} for change in planned]
    changed = [change for change in planned if change.kind != "unchanged"]
    lines = [f"{change.kind:<10}{into / change.path}" for change in changed]
    lines.append(f"{into} holds {len(planned)} files for {target.name}; README.md there has the next commands")
    out.show({"target": target.name, "folder": str(into), "files": rows}, text="\n".join(lines))


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
