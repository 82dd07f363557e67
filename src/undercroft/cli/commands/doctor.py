"""`undercroft doctor`."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from undercroft import __version__
from undercroft.assembly.inspection import Finding, inspect
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.settings.effective import effective
from undercroft.settings.sources import Loaded, load
from undercroft.telemetry.redaction import Redactor, secrets_in

HELP = """Checks what undercroft needs, and says what to do about it.

Settings, data directory, database, models, provider keys, clock, port and packages; calls no provider.
Exit code 1 if a check failed.

Example: undercroft doctor
         undercroft doctor --errors
         undercroft doctor --report bug-report.json"""

MOST_ERRORS: Final = 50


def arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_json(parser)
    parser.add_argument("--errors", action="store_true", help="only what has gone wrong lately, by type and place")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="also write what was found, settings and versions, without secrets"
    )


def run(options: Namespace, out: Output) -> int:
    return _show_errors(options, out) if options.errors else _examine(options, out)


def _show_errors(options: Namespace, out: Output) -> int:
    """The groups in the database. Exit code 0 also when there are some: they may be long mended."""
    from undercroft.cli.installation import read_settings, ready_database
    from undercroft.observed.errors import list_errors

    with ready_database(read_settings(options, out), otherwise="Errors cannot be read") as database:
        groups = database.read_sync(lambda connection: list_errors(connection, limit=MOST_ERRORS))
    if options.json:
        out.show({"errors": groups})
        return 0
    rows = [
        {
            "last seen": rfc3339(group.last_us)[:19],
            "count": group.count,
            "error": group.kind,
            "place": group.place,
            "message": group.message[:100],
        }
        for group in groups
    ]
    out.table(rows, empty="No error was logged.")
    return 0


def _examine(options: Namespace, out: Output) -> int:
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
