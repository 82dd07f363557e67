"""`undercroft doctor`."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from undercroft import __version__
from undercroft.assembly.inspection import Finding, inspect
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.settings.effective import effective
from undercroft.settings.sources import Loaded, load
from undercroft.telemetry.redaction import Redactor, secrets_in

HELP = """Checks what undercroft needs, and says what to do about it.

Settings, data directory, database, models, provider keys, clock, port and packages; calls no provider.
Exit code 1 if a check failed.

Example: undercroft doctor
         undercroft doctor --report bug-report.json"""


def arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="also write what was found, settings and versions, without secrets"
    )


def run(options: Namespace, out: Output) -> int:
    loaded: Loaded | None = None
    findings: list[Finding] = []
    try:
        loaded = load(config=options.config, environment=os.environ, directory=Path.cwd())
    except ConfigurationError as error:
        findings += [Finding("settings", "failed", line) for line in str(error).splitlines()]
    else:
        findings += [Finding("settings", "warning", warning) for warning in loaded.warnings]
        findings += [] if findings else [Finding("settings", "ok", "nothing wrong with them")]
        findings += inspect(loaded, clock=SystemClock())
    is_well = all(finding.status != "failed" for finding in findings)

    text = "\n".join(_line(finding) for finding in findings)
    out.show({"ok": is_well, "checks": findings}, text=text)
    if options.report is not None:
        _write_report(options.report, findings, loaded)
        out.note(f"wrote {options.report}; have a look at it before you pass it on")
    return 0 if is_well else 1


def _line(finding: Finding) -> str:
    advice = f"; {finding.advice}" if finding.advice else ""
    return f"{finding.status:<8} {finding.name:<15} {finding.detail}{advice}"


def _write_report(path: Path, findings: Sequence[Finding], loaded: Loaded | None) -> None:
    import platform
    from importlib.metadata import distributions

    import msgspec

    report = {
        "undercroft": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "checks": findings,
        "settings": [] if loaded is None else list(effective(loaded)),
        "packages": dict(sorted((each.metadata["Name"], each.version) for each in distributions())),
    }
    text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
    text = Redactor(secrets_in(os.environ)).text(text).replace(str(Path.home()), "~")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from error
