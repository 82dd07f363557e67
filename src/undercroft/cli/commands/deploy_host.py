"""`undercroft deploy up`, `switch`, `rollback`, `status` and `down`: versions side by side."""

import os
import subprocess
import sys
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.errors import ConfigurationError, InvalidRequest, UndercroftError
from undercroft.settings.files import FileProblem, read_text
from undercroft.settings.model import Settings
from undercroft.settings.sources import FILE_NAME, load

if TYPE_CHECKING:
    from undercroft.hosting.commands import Bring, Command, News
    from undercroft.hosting.types import Gate, Rollout, State

_UP: Final = """Starts a version and tries it out with real requests. The first one serves at once; any other waits,
beside the one that serves, for `deploy switch`. One that does not work is ended, and nothing else has changed.

The host that keeps the port runs in the background; with --foreground it is this process, as a service manager wants.

Example: undercroft deploy up
         undercroft deploy up --name v2 --python /opt/undercroft-2/bin/python"""
_SWITCH: Final = """Moves the traffic to the version that waits, step by step, and watches error rate and latency: if
they are bad, the traffic goes back by itself (exit code 1). Ctrl-C ends the watching, not the switch.

With --kubernetes it is the selector of a Service that is moved, between Deployments labelled undercroft.dev/colour.

Example: undercroft deploy switch
         undercroft deploy switch --steps 10,50,100 --step-seconds 30 --bake-seconds 300
         undercroft deploy switch --kubernetes --namespace ai"""
_ROLLBACK: Final = """Gives the traffic back to the version before: during a switch at once; afterwards too, as long as
that version still runs, and otherwise it is started again first.

Example: undercroft deploy rollback"""
_STATUS: Final = "Which versions there are and which one serves.  Example: undercroft deploy status --json"
_DOWN: Final = "Stops every version, with what they are answering, and the host.  Example: undercroft deploy down"


def arguments(actions: Any) -> None:
    """Adds the actions to `deploy`'s."""
    up = actions.add_parser("up", help="starts a version beside the one that serves", description=_UP)
    up.add_argument("--name", default="", help="what to call it (default: v1, v2 …)")
    up.add_argument(
        "--python", default=sys.executable, metavar="PATH", help="the Python whose undercroft runs (default: this one)"
    )
    up.add_argument("--foreground", action="store_true", help="be the host, instead of starting one")
    switch = actions.add_parser("switch", help="moves the traffic to it", description=_SWITCH)
    switch.add_argument("--steps", type=_percents, metavar="LIST", help="percent of the connections, ending in 100")
    switch.add_argument("--step-seconds", type=_seconds, metavar="S", help="how long each step is watched")
    switch.add_argument("--bake-seconds", type=_seconds, metavar="S", help="how long all of the traffic is watched")
    cluster = switch.add_argument_group("in a cluster")
    cluster.add_argument("--kubernetes", action="store_true", help="switch a Service of Kubernetes instead")
    cluster.add_argument("--namespace", metavar="NAME", help="the Service's namespace (default: kubectl's)")
    cluster.add_argument("--context", metavar="NAME", help="kubectl's context (default: the current one)")
    cluster.add_argument("--service", default="undercroft-api", metavar="NAME", help="(default: undercroft-api)")
    cluster.add_argument("--to", choices=("blue", "green"), help="the colour to switch to (default: the other one)")
    cluster.add_argument("--timeout-seconds", type=_seconds, default=600.0, metavar="S", help="for the rollout (600)")
    rollback = actions.add_parser("rollback", help="gives it back", description=_ROLLBACK)
    status = actions.add_parser("status", help="which versions there are", description=_STATUS)
    down = actions.add_parser("down", help="stops all of them", description=_DOWN)
    for action in (up, switch, rollback, status, down):
        add_config(action)
        add_json(action)


def run(options: Namespace, out: Output) -> int:
    if getattr(options, "kubernetes", False):
        from undercroft.cli.commands.deploy_kubernetes import switch

        return switch(options, out)
    if sys.platform != "linux":
        raise ConfigurationError(
            "Versions side by side need Linux: its sockets, which several processes serve in turn.",
            hint="Elsewhere: undercroft serve, or containers.",
        )
    settings, text = _settings(options, out)
    folder = _folder(settings)
    match options.action:
        case "up":
            return _up(options, settings, text, folder, out)
        case "status":
            return _status(folder, out)
        case _:
            return _order(options, settings, folder, out)


def _settings(options: Namespace, out: Output) -> tuple[Settings, str]:
    """The settings, and the text of their file: empty where there is none."""
    from undercroft.assembly.stored_settings import encrypted_store  # slow, and rendering wants none of it

    named = options.config or os.environ.get("UNDERCROFT_CONFIG")
    config = Path(named or FILE_NAME).expanduser()
    loaded = load(config=options.config, environment=os.environ, directory=Path.cwd(), stored=encrypted_store)
    for warning in loaded.warnings:
        out.note(f"warning: {warning}")
    try:
        return loaded.settings, read_text(config) if config.exists() else ""
    except FileProblem as problem:
        raise ConfigurationError(str(problem)) from None


def _folder(settings: Settings) -> Path:
    from undercroft.hosting.commands import FOLDER

    return settings.data_dir.absolute() / FOLDER


def _up(options: Namespace, settings: Settings, text: str, folder: Path, out: Output) -> int:
    from undercroft.hosting.commands import Command

    command = Command(about="up", bring=_bring(options, settings, text))
    if options.foreground:
        from undercroft.api.logs import configure
        from undercroft.hosting.serving import run_host

        configure(settings)
        run_host(folder, ready=lambda: None, first=command)
        return 0
    _start_host(folder, out)
    return _told(command, folder, out)


def _bring(options: Namespace, settings: Settings, text: str) -> "Bring":
    from undercroft.hosting.commands import Bring

    python = Path(options.python).expanduser()
    if not os.access(python, os.X_OK) or python.is_dir():
        raise InvalidRequest(f"--python: {python} is no program.")
    terms = settings.deploy.host
    return Bring(
        python=str(python.absolute()),  # not resolved: a virtual environment's is a link
        settings=text,
        gate=_gate(settings),
        host=settings.server.host,
        port=settings.server.port,
        workers=settings.server.workers,
        directory=str(Path.cwd()),
        name=options.name,
        keep=terms.keep,
        drain_s=terms.drain_s,
    )


def _gate(settings: Settings) -> "Gate":
    from undercroft.hosting.types import Gate

    terms, key = settings.deploy.host, settings.deploy.host.probe_key or settings.access.master_key
    return Gate(
        start_timeout_s=terms.start_timeout_s,
        model=terms.probe_model,
        key=None if key is None else key.get_secret_value(),
        calls=terms.probe,
    )


def _rollout(options: Namespace, settings: Settings) -> "Rollout":
    from undercroft.hosting.types import Rollout

    terms = settings.deploy.host
    return Rollout(
        steps=options.steps or terms.steps,
        step_s=terms.step_s if options.step_seconds is None else options.step_seconds,
        bake_s=terms.bake_s if options.bake_seconds is None else options.bake_seconds,
        max_error_rate=terms.max_error_rate,
        max_latency_factor=terms.max_latency_factor,
        min_requests=terms.min_requests,
    )


def _start_host(folder: Path, out: Output) -> None:
    """Starts one where none runs. Raises UndercroftError with what it said when it could not start."""
    from undercroft.api.version_control import connect
    from undercroft.hosting.commands import LOG, SOCKET

    try:
        connect(folder / SOCKET).close()
        return
    except OSError:
        pass
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    told, status = os.pipe()
    descriptor = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as log, os.fdopen(told, "rb") as words:
        host = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "undercroft.hosting", "--folder", str(folder), "--status", str(status)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(status,),
            start_new_session=True,
        )
        os.close(status)
        with out.progress("starting the host"):
            said = words.read(1)
        if said != b"\n":
            reason = (said + words.read()).decode("utf-8", "replace").strip()
            host.wait()
            raise UndercroftError(reason or f"The host did not start; {folder / LOG} says more.")


def _order(options: Namespace, settings: Settings, folder: Path, out: Output) -> int:
    from undercroft.hosting.commands import Command

    if options.action == "switch":
        return _told(Command(about="switch", rollout=_rollout(options, settings)), folder, out)
    return _told(Command(about=options.action, gate=_gate(settings)), folder, out)


def _told(command: "Command", folder: Path, out: Output) -> int:
    from undercroft.hosting.commands import order

    news: News = order(folder, command, tell=out.note)
    assert news.state is not None
    out.show({"text": news.text, "state": _public(news.state)}, text=news.text)
    return 0


def _status(folder: Path, out: Output) -> int:
    """From the host, or from what it has left where none runs."""
    from undercroft.hosting import statefile
    from undercroft.hosting.commands import Command, HostUnreachable, order

    is_hosted = True
    try:
        state = order(folder, Command(about="status"), tell=out.note).state
    except HostUnreachable:
        is_hosted, state = False, statefile.load(folder)
    shown = {"host": is_hosted, **(_public(state) if state is not None and state.port else {"versions": []})}
    if out.json:
        out.show(shown)
        return 0
    if state is None or not state.port:
        out.line("Nothing is up here. Type: undercroft deploy up")
        return 0
    out.line(f"{state.host} port {state.port}" + ("" if is_hosted else "; NO HOST RUNS: type undercroft deploy up"))
    out.table([_cells(each) for each in shown["versions"]])
    return 0


def _public(state: "State") -> dict[str, Any]:
    from undercroft.hosting.types import shares

    lanes = shares(state)
    return {
        "address": f"{state.host}:{state.port}",
        "active": state.active,
        "former": state.former,
        "switching_to": state.move.target if state.move else "",
        "versions": [
            {
                "name": each.name,
                "stage": each.stage,
                "traffic_percent": round(100 * len(lanes.get(each.name, ())) / state.lanes) if state.lanes else 0,
                "pid": each.process.pid if each.process else None,
                "undercroft": each.undercroft,
                "schema": each.schema,
                "python": each.python,
                "reason": each.reason,
            }
            for each in state.versions
        ],
    }


def _cells(version: dict[str, Any]) -> dict[str, object]:
    return {
        "version": version["name"],
        "stage": version["stage"],
        "traffic": f"{version['traffic_percent']} %",
        "pid": version["pid"],
        "undercroft": version["undercroft"],
        "reason": version["reason"],
    }


def _percents(text: str) -> tuple[int, ...]:
    try:
        steps = tuple(int(step) for step in text.split(","))
    except ValueError:
        steps = ()
    if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] != 100:
        raise ArgumentTypeError(f"{text!r} is not like 5,25,50,100: rising, and 100 at the end")
    return steps


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 86400")
    return seconds
