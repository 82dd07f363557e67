"""Checks of a compose file: what refers to nothing, and what is not safe."""

import re
import stat
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from undercroft.deploy.checks.compose_file import Build, ComposeFile, Service
from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import Checked
from undercroft.deploy.checks.images import DATABASE_PORTS, is_secret_in_clear, unpinned
from undercroft.settings import dotenv

NAMES: Final = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_PROXIES: Final = re.compile(r"(^|/)(caddy|nginx|traefik|haproxy)\b")
"""What does TLS, and therefore has to be reached from outside."""
_REQUIRED: Final = re.compile(r"(?<!\$)\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::?\?[^}]*)?\}|([A-Za-z_][A-Za-z0-9_]*))")
_PUBLISHED: Final = re.compile(
    r"(?:(?P<host>\[[^]]*\]|[0-9]+\.[0-9.]+):)?(?:(?P<outside>[0-9-]+):)?(?P<inside>[0-9-]+)(?:/\w+)?"
)


def check(checked: Checked) -> Iterator[Finding]:
    """Every compose file at the top of the folder."""
    for file in NAMES:
        for tree in checked.objects.get(file, ()):
            try:
                stack = msgspec.convert(tree, ComposeFile)
            except msgspec.ValidationError as problem:
                yield error(file, "", f"is no compose file: {problem}")
                continue
            yield from _stack(file, stack, checked)
    if any(file in checked.texts for file in NAMES):
        yield from _env_file(checked)


def _stack(file: str, stack: ComposeFile, checked: Checked) -> Iterator[Finding]:
    if stack.version is not None:
        yield warning(file, "version", "is of compose v1, and ignored; leave it out")
    used: set[str] = set()
    taken: dict[str, str] = {}
    for name, service in stack.services.items():
        where = f"services.{name}"
        yield from _image(file, where, service, checked)
        yield from _needs(file, where, service, stack)
        yield from _ports(file, where, service, taken)
        yield from _safety(file, where, service)
        for volume in _named_volumes(service):
            used.add(volume)
            if volume not in stack.volumes:
                yield error(file, f"{where}.volumes", f"{volume!r} is declared nowhere; add it under volumes")
        for path in _mounted_files(service):
            if not checked.has(path):
                yield error(file, f"{where}.volumes", f"{path} is not there: Docker would make an empty folder of it")
    for volume in stack.volumes.keys() - used:
        yield warning(file, f"volumes.{volume}", "is used by no service")
    yield from _secrets(file, checked)


def _image(file: str, where: str, service: Service, checked: Checked) -> Iterator[Finding]:
    if service.image is None and service.build is None:
        yield error(file, where, "has neither image nor build")
    elif service.image is not None and (reason := unpinned(service.image)):
        yield error(file, f"{where}.image", f"{service.image} {reason}")
    if service.build is not None:
        build = Build(context=service.build) if isinstance(service.build, str) else service.build
        path = f"{build.context.rstrip('/')}/{build.dockerfile}".removeprefix("./")
        if not build.context.startswith(("http", "git")) and not checked.has(path):
            yield error(file, f"{where}.build", f"there is no {path}")
        for port in service.ports if "$" not in path else ():
            exposed = re.findall(r"^EXPOSE\s+([0-9]+)", checked.texts.get(path, ""), re.MULTILINE)
            inside = _inside(port)
            if exposed and inside and inside not in exposed:
                yield error(file, f"{where}.ports", f"{port} leads to port {inside}, and {path} exposes {exposed[0]}")


def _needs(file: str, where: str, service: Service, stack: ComposeFile) -> Iterator[Finding]:
    for name, condition in service.needs.items():
        other = stack.services.get(name)
        if other is None:
            yield error(file, f"{where}.depends_on", f"there is no service {name!r}")
        elif (
            condition == "service_healthy"
            and other.build is None
            and not (other.healthcheck and other.healthcheck.test and not other.healthcheck.disable)
        ):
            yield error(file, f"{where}.depends_on", f"waits for {name} to be healthy, and {name} has no healthcheck")


def _ports(file: str, where: str, service: Service, taken: dict[str, str]) -> Iterator[Finding]:
    for port in service.ports:
        host, outside, inside = _published(port)
        if outside is None:
            continue
        if outside in taken and not str(port).endswith("/udp"):
            yield error(
                file, f"{where}.ports", f"port {outside} of the host is {taken[outside]}'s already; write another"
            )
        taken[outside] = where.removeprefix("services.")
        is_door = inside in ("80", "443") and _PROXIES.search(service.image or "") is not None
        is_public = not is_door and host not in ("127.0.0.1", "[::1]", "localhost")
        if is_public and inside.isdigit() and int(inside) in DATABASE_PORTS:
            yield error(
                file,
                f"{where}.ports",
                f"{port} opens a database to every network of the host; write 127.0.0.1:{outside}:{inside} at most",
            )
        elif is_public:
            yield warning(
                file,
                f"{where}.ports",
                f"{port} is open to every network of the host; write 127.0.0.1:{outside}:{inside}",
            )


def _published(port: Any) -> tuple[str, str | None, str]:
    """The host's address, its port and the container's."""
    if isinstance(port, dict):
        published = port.get("published")
        return str(port.get("host_ip", "")), None if published is None else str(published), str(port.get("target", ""))
    found = _PUBLISHED.fullmatch(str(port))
    return (found["host"] or "", found["outside"], found["inside"]) if found else ("", None, "")


def _inside(port: Any) -> str:
    return _published(port)[2]


def _safety(file: str, where: str, service: Service) -> Iterator[Finding]:
    limits = service.deploy.resources.limits
    if limits.memory is None and service.mem_limit is None:
        yield error(
            file, where, "has no memory limit: a leak takes the whole host along; write deploy.resources.limits"
        )
    if limits.cpus is None and service.cpus is None:
        yield warning(file, where, "has no CPU limit; write deploy.resources.limits.cpus")
    if service.privileged:
        yield error(file, f"{where}.privileged", "gives the container the host; leave it out")
    if service.network_mode == "host":
        yield error(file, f"{where}.network_mode", "opens every port of the container to the host's networks")
    if str(service.user).partition(":")[0] in ("0", "root"):
        yield error(file, f"{where}.user", "is root; name another user")
    if service.restart is None and service.deploy.replicas is None:
        yield warning(file, where, "does not come back when it dies; write restart: unless-stopped")
    for name, value in service.variables.items():
        if is_secret_in_clear(name, value):
            yield error(file, f"{where}.environment.{name}", "holds a secret in clear text; move it to .env")
    replicas = service.deploy.replicas or service.scale or 1
    is_ours = any(name.startswith("UNDERCROFT_") for name in service.variables)
    if replicas > 1 and is_ours and not service.variables.get("DATABASE_URL"):
        yield error(file, where, f"has {replicas} replicas and no DATABASE_URL: a SQLite file serves one container")
    words = service.command if isinstance(service.command, list) else str(service.command or "").split()
    if "redis" in (service.image or "") and "--appendonly" not in words:
        yield warning(file, where, "keeps nothing on disk: jobs in it are lost with it; add --appendonly yes")


def _named_volumes(service: Service) -> Iterator[str]:
    for volume in service.volumes:
        if isinstance(volume, dict):
            if volume.get("type") == "volume" and volume.get("source"):
                yield str(volume["source"])
        elif ":" in str(volume) and not str(volume).startswith((".", "/", "~", "$")):
            yield str(volume).partition(":")[0]


def _mounted_files(service: Service) -> Iterator[str]:
    for volume in service.volumes:
        source = str(volume.get("source", "")) if isinstance(volume, dict) else str(volume).partition(":")[0]
        if source.startswith("./"):
            yield source.removeprefix("./")


def _secrets(file: str, checked: Checked) -> Iterator[Finding]:
    """Variables without a default that nobody sets."""
    if ".env" not in checked.texts:
        yield warning(file, "", "there is no .env beside it; `undercroft deploy render compose` makes one")
        return
    entries, _ = dotenv.parse(checked.texts[".env"])
    given = {entry.name for entry in entries if entry.value}
    text = re.sub(r"^\s*#.*", "", checked.texts[file], flags=re.MULTILINE)
    for name in sorted({one or other for one, other in _REQUIRED.findall(text)} - given):
        yield error(file, name, "is used and stands in .env nowhere; add a line NAME=value there")


def _env_file(checked: Checked) -> Iterator[Finding]:
    path = checked.root / ".env"
    if not path.exists():
        return
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield error(".env", "", "others may read it; type: chmod 600 .env")
    if ".env" not in checked.texts.get(".gitignore", "").split():
        yield error(".env", "", "git would take it; add a line .env to .gitignore")
