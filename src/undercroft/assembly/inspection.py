"""What `undercroft doctor` looks at: a finding per part, in words an operator can act on."""

import errno
import shutil
import socket
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from undercroft.assembly.secrets import StoredSecrets
from undercroft.clock import Clock, rfc3339
from undercroft.errors import ConfigurationError, UndercroftError
from undercroft.providers.local import weights
from undercroft.settings.draft import DEFAULT
from undercroft.settings.model import Server, Settings
from undercroft.settings.secrets import stored_names
from undercroft.settings.sources import Loaded

if TYPE_CHECKING:
    from undercroft.storage.engine import Database

SCARCE_BYTES: Final = 1_000_000_000
FULL_BYTES: Final = 100_000_000
RELEASED_US: Final = 1_767_225_600_000_000
"""2026-01-01: no right clock shows less to this version."""
SKEW_S: Final = 60.0
SECRETS: Final = "stored secrets"
MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: what was looked at, how it is, and what to do about it."""

    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    advice: str = ""


def inspect(loaded: Loaded, *, clock: Clock) -> Iterator[Finding]:
    """Looks at everything the settings name; calls no model provider and changes nothing."""
    settings = loaded.settings
    yield _data_directory(settings.data_dir)
    yield from _database(settings, clock)
    yield _weights(settings)
    yield from _providers(loaded)
    yield _clock(settings.data_dir, clock)
    yield _port(settings.server)
    yield from _packages(settings)


def _data_directory(path: Path) -> Finding:
    name = "data directory"
    existing = next(each for each in (path, *path.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):  # asking for rights is not enough: the disk may be read-only
            pass
        free = shutil.disk_usage(existing).free
    except OSError as error:
        advice = f"make it writable for this user, or set UNDERCROFT_DATA_DIR ({error.strerror})"
        return Finding(name, "failed", f"{existing} cannot be written to", advice)
    detail = f"{path} is writable, {free / 1e9:.1f} GB free" + ("" if path.exists() else "; made at the first start")
    if free < FULL_BYTES:
        return Finding(name, "failed", detail, "free some space: without it no call can be booked")
    return Finding(
        name, "warning" if free < SCARCE_BYTES else "ok", detail, "free some space" if free < SCARCE_BYTES else ""
    )


def _database(settings: Settings, clock: Clock) -> Iterator[Finding]:
    from undercroft.storage.engine import FILE_NAME, open_database

    url = settings.database.url.get_secret_value() if settings.database.url else None
    file = settings.data_dir / FILE_NAME if url is None else Path(url.removeprefix("sqlite:///"))
    if not settings.database.is_postgresql and not file.exists():
        yield Finding("database", "ok", f"SQLite; {file} is made at the first start")
        yield from _missing(stored_names(settings))
        return
    try:
        database = open_database(url, data_dir=settings.data_dir, pool_size=1, clock=clock, migrates=False)
    except UndercroftError as error:
        yield Finding("database", "failed", error.message.rstrip("."), error.hint or "")
        return
    try:
        state = database.state_sync()
        if state.is_ready:
            yield Finding("database", "ok", f"{database.dialect}, schema {state.revision}")
        elif state.kind == "unreachable":
            yield Finding("database", "failed", state.reason, "check DATABASE_URL, and that the server runs")
        elif database.dialect == "sqlite" and state.kind in ("empty", "older"):
            yield Finding("database", "ok", f"sqlite, {state.reason} (or start the server, which does it)")
        else:
            yield Finding("database", "failed", f"{database.dialect}, {state.reason}", "type: undercroft migrate")
        if state.is_ready:
            yield from _secrets(settings, database)
        if database.dialect == "sqlite" and state.kind != "unreachable":
            faults = database.read_sync(
                lambda connection: connection.exec_driver_sql("PRAGMA integrity_check(3)").scalars().all()
            )
            yield _integrity(file, [str(fault) for fault in faults])
    except UndercroftError as error:
        yield Finding("database file", "failed", error.message.rstrip("."), error.hint or "")
    finally:
        database.close()


def _integrity(file: Path, faults: list[str]) -> Finding:
    if faults == ["ok"]:
        return Finding("database file", "ok", f"{file} is intact")
    advice = "stop undercroft, keep a copy of the file, and restore a backup"
    return Finding("database file", "failed", f"{file} is damaged: {'; '.join(faults)}", advice)


def _secrets(settings: Settings, database: "Database") -> Iterator[Finding]:
    """Whether what is stored encrypted can be read, and whether the secrets that settings name are there."""
    from undercroft.access.secret_repository import count_sealed, tokens_in, unreadable

    name, keys = SECRETS, StoredSecrets(settings)
    yield from _missing(stored_names(settings) - database.read_sync(partial(tokens_in, organisation="default")).keys())
    count = database.read_sync(count_sealed)
    if not count:
        return
    where = "ENCRYPTION_KEY" if keys.file is None else str(keys.file)
    try:
        lost = database.read_sync(partial(unreadable, box=keys))
    except ConfigurationError as error:  # a key file that holds no keys
        yield Finding(name, "failed", error.message.rstrip("."), error.hint or "")
        return
    if not lost:
        yield Finding(name, "ok", f"{count} can be read with the key in {where}")
        return
    shown = ", ".join(lost[:MOST_NAMED]) + (" …" if len(lost) > MOST_NAMED else "")
    detail = f"{len(lost)} of {count} cannot be read: the key that they are encrypted under is not in {where} ({shown})"
    former = "put the former key behind the present one, with a comma"
    advice = former if keys.file is None else f"bring {where} back from a backup"
    yield Finding(name, "failed", detail, f"{advice}; if it is lost, set them anew: undercroft secrets set NAME")


def _missing(names: Collection[str]) -> Iterator[Finding]:
    for name in sorted(names):
        detail = f"settings name the secret '{name}', and there is none"
        yield Finding(SECRETS, "failed", detail, f"type: undercroft secrets set {name}")


def _weights(settings: Settings) -> Finding:
    places = weights.folders(settings.local.models_dir, settings.data_dir)
    found = weights.locate(settings.local.models_dir, settings.data_dir)
    folder = found.folder if found else next((each for each in places if each.is_dir()), None)
    if folder is None:
        advice = "type: undercroft models pull"
        return Finding("models", "warning", "the bundled models are not installed", advice)
    try:
        faults = weights.verify(folder)
    except OSError as error:
        return Finding(
            "models", "failed", f"{folder} cannot be read: {error.strerror}", "check the rights of its files"
        )
    if faults:
        return Finding("models", "failed", f"{folder}: {'; '.join(faults)}", "type: undercroft models pull")
    return Finding("models", "ok", f"the bundled models in {folder} are whole")


def _providers(loaded: Loaded) -> Iterator[Finding]:
    settings = loaded.settings
    for provider in settings.provider_keys:
        source = loaded.provenance.get(f"provider_keys.{provider}", DEFAULT)
        yield Finding("provider", "ok", f"{provider} has a key from {source} (not called)")
    for model in settings.models:
        names = ", ".join(each.provider for each in model.deployments)
        yield Finding("provider", "ok", f"model {model.name!r} is answered by {names} (not called)")
    if not settings.provider_keys and not settings.models:
        yield Finding("provider", "ok", "no provider's key is set; the bundled model answers")


def _clock(data_dir: Path, clock: Clock) -> Finding:
    now_us = clock.now_us()
    detail, advice = f"it is {rfc3339(now_us)}", "set the machine's clock, best by NTP"
    if now_us < RELEASED_US:
        return Finding("clock", "failed", f"{detail}, before this version was made", advice)
    files = data_dir.glob("*") if data_dir.is_dir() else ()
    if any(file.stat().st_mtime > now_us / 1e6 + SKEW_S for file in files):
        return Finding("clock", "failed", f"{detail}, and files in {data_dir} are from later", advice)
    return Finding("clock", "ok", detail)


def _port(server: Server) -> Finding:
    where = f"{server.host}:{server.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(address)
    except socket.gaierror:
        return Finding("port", "failed", f"{server.host} is no address of this machine", "set [server] host")
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                advice = f"if that is not undercroft, type: undercroft serve --port {server.port + 1}"
                return Finding("port", "warning", f"{where} is in use", advice)
            case errno.EACCES:
                return Finding("port", "failed", f"{where} needs more rights", "choose a port above 1023")
            case _:
                return Finding("port", "failed", f"{where}: {error.strerror}", "set [server] host and port")
    return Finding("port", "ok", f"{where} is free")


_EXTRAS: Final = {"local": ("numpy", "onnxruntime", "tokenizers", "xllamacpp"), "postgres": ("psycopg",)}


def _packages(settings: Settings) -> Iterator[Finding]:
    providers = {each.provider for model in settings.models for each in model.deployments}
    needs_local = not settings.models or not providers.isdisjoint(("local", "local_embedding"))
    complete = True
    for extra, is_needed in (("local", needs_local), ("postgres", settings.database.is_postgresql)):
        missing = [package for package in _EXTRAS[extra] if is_needed and find_spec(package) is None]
        if missing:
            complete = False
            advice = f"type: {Path(sys.executable).name} -m pip install 'undercroft[{extra}]'"
            yield Finding("packages", "failed", f"{', '.join(missing)} missing, needed for {extra}", advice)
    if complete:
        yield Finding("packages", "ok", "all that these settings need are installed")
