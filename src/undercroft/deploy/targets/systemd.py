"""`systemd`: the application as services of one machine, without containers, behind Caddy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from undercroft.deploy.bundle import Bundle, GeneratedSecret, made_by
from undercroft.deploy.targets import caddy
from undercroft.deploy.topology import Process, Topology

EXTRAS: Final = ("postgres", "redis", "celery", "qdrant")

Section = Mapping[str, str | Sequence[str]]
"""`Name=value` lines; a sequence becomes a line for each."""

_HARDENED: Final[Section] = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "LockPersonality": "yes",
    "RemoveIPC": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": ["@system-service", "~@privileged"],
    "SystemCallErrorNumber": "EPERM",
    "UMask": "0077",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie on the machine."""

    program: str
    settings: str
    data: str

    @classmethod
    def of(cls, topology: Topology) -> "Places":
        return cls(f"/opt/{topology.name}", f"/etc/{topology.name}", f"/var/lib/{topology.name}")


class Systemd:
    name = "systemd"
    summary = "services of one machine, without containers, and Caddy for TLS"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        if topology.gpu.count:
            yield (
                f"deploy.gpu.count is {topology.gpu.count}, and only the GPU image has vLLM in it; install vLLM beside "
                "this, and name it under [[models]] (provider vllm, its base_url)"
            )
        if topology.build.code or topology.build.command != ("undercroft", "serve"):
            yield (
                "deploy.build.code and deploy.build.command are about an image; leave them out here, or deploy "
                "containers"
            )

    def render(self, topology: Topology, /) -> Bundle:
        name, made = topology.name, made_by(self.name)
        files = {
            f"{name}.service": made + _server(topology),
            f"{name}.sysusers.conf": f'{made}u {name} - "{name}" {Places.of(topology).data}\n',
            "Caddyfile": made + caddy.caddyfile(topology, caddy.Upstreams(f"127.0.0.1:{topology.ports.api}")),
            "README.md": _readme(topology),
        }
        if topology.database != "sqlite":
            files[f"{name}-worker.service"] = made + _worker(topology)
            files[f"{name}-migrate.service"] = made + _migration(topology)
        if topology.settings_file is not None:
            files["undercroft.toml"] = made + topology.settings_file
        return Bundle(files, env=_SECRETS)


_SECRETS: Final = (
    GeneratedSecret("UNDERCROFT_MASTER_KEY", "token", "Opens every door: send it as a bearer token."),
    GeneratedSecret("ENCRYPTION_KEY", "fernet", "Encrypts stored secrets, which are lost without it."),
)


def _server(topology: Topology) -> str:
    """It drains by itself on SIGTERM; systemd waits for it, and kills what is left."""
    waits_for = () if topology.database == "sqlite" else (f"{topology.name}-migrate.service",)
    service: Section = {
        "Type": "exec",
        **_common(topology),
        "ExecStart": f"{Places.of(topology).program}/bin/undercroft serve --host 127.0.0.1 --port {topology.ports.api}",
        "KillMode": "mixed",
        "TimeoutStopSec": "45",
        "Restart": "always",
        "RestartSec": "1",
        "LimitNOFILE": "65536",
        **_limited(topology.api),
        **_HARDENED,
    }
    return _unit(f"{topology.name}: the API", service, after=waits_for, is_enabled=True)


def _worker(topology: Topology) -> str:
    program = f"{Places.of(topology).program}/bin/undercroft"
    service: Section = {
        "Type": "exec",
        **_common(topology),
        "ExecStart": f"{program} worker --concurrency {topology.worker_concurrency}",
        "KillMode": "mixed",
        "TimeoutStopSec": "60",
        "Restart": "always",
        "RestartSec": "1",
        **_limited(topology.worker),
        **_HARDENED,
    }
    return _unit(f"{topology.name}: jobs", service, after=(f"{topology.name}-migrate.service",), is_enabled=True)


def _migration(topology: Topology) -> str:
    """Started with the others; while it has not succeeded they live, answer 503 and name it."""
    service: Section = {
        "Type": "oneshot",
        **_common(topology),
        "ExecStart": f"{Places.of(topology).program}/bin/undercroft migrate",
        "Restart": "on-failure",
        "RestartSec": "5",
        **_HARDENED,
    }
    return _unit(f"{topology.name}: the schema of the database", service)


def _common(topology: Topology) -> Section:
    places = Places.of(topology)
    environment = [f"UNDERCROFT_DATA_DIR={places.data}", "PYTHONUNBUFFERED=1"]
    if topology.settings_file is not None:
        environment.append(f"UNDERCROFT_CONFIG={places.settings}/undercroft.toml")
    return {
        "User": topology.name,
        "Group": topology.name,
        "WorkingDirectory": places.data,
        "StateDirectory": topology.name,
        "StateDirectoryMode": "0700",
        "Environment": environment,
        "EnvironmentFile": f"{places.settings}/env",
    }


def _limited(process: Process) -> Section:
    return {"CPUQuota": f"{process.cpu_limit_milli // 10}%", "MemoryMax": f"{process.memory_limit_mib}M"}


def _unit(description: str, service: Section, *, after: Sequence[str] = (), is_enabled: bool = False) -> str:
    unit: Section = {
        "Description": description,
        "Wants": " ".join(("network-online.target", *after)),
        "After": " ".join(("network-online.target", *after)),
    }
    sections: dict[str, Section] = {"Unit": unit, "Service": service}
    if is_enabled:
        sections["Install"] = {"WantedBy": "multi-user.target"}
    return "\n".join(f"[{name}]\n{''.join(_lines(section))}" for name, section in sections.items())


def _lines(section: Section) -> Iterator[str]:
    for name, value in section.items():
        yield from (f"{name}={each}\n" for each in ([value] if isinstance(value, str) else value))


def _readme(topology: Topology) -> str:
    name, places = topology.name, Places.of(topology)
    is_embedded = topology.database == "sqlite"
    units = [f"{name}.service"] if is_embedded else [f"{name}.service", f"{name}-worker.service"]
    files = " ".join(units if is_embedded else [*units, f"{name}-migrate.service"])
    installed = "'" + topology.package.requirement(*EXTRAS) + "'"
    settings = (
        f"    install --mode=0644 undercroft.toml {places.settings}/undercroft.toml\n"
        if topology.settings_file is not None
        else ""
    )
    database = (
        ""
        if is_embedded
        else (
            "Write the addresses that this machine cannot make up into `.env`, a line each: `DATABASE_URL=postgresql://…`,\n"
            "and `REDIS_URL`, `CELERY_BROKER_URL`, `QDRANT_URL` and keys of providers where there are such.\n\n"
        )
    )
    return f"""\
# {name} as services of one machine

{made_by("systemd", comment="").strip()}

It takes Python 3.11 or newer and systemd 247 or newer. {database}As root, in this folder:

    python3 -m venv {places.program}
    {places.program}/bin/pip install {installed}
    install --directory --mode=0755 {places.settings}
    install --mode=0600 .env {places.settings}/env
{settings}    install --mode=0644 {name}.sysusers.conf /etc/sysusers.d/{name}.conf
    systemd-sysusers
    install --mode=0644 {files} /etc/systemd/system/
    systemctl daemon-reload
    systemctl enable --now {" ".join(units)}
    curl localhost:{topology.ports.api}/health

`{name}.service` listens on loopback alone. For HTTPS, let `{topology.domain}` point to this machine (`domain` under
`[deploy]`), open ports 80 and 443, and install Caddy (`apt install caddy`), which gets certificates and renews them:

    install --mode=0644 Caddyfile /etc/caddy/Caddyfile
    systemctl reload caddy
    curl https://{topology.domain}/health

A new version: install it into {places.program} as above, then `systemctl restart {" ".join(units)}`; open answers have
30 s to finish. `systemd-analyze security {name}.service` shows what the service may not do; keys in
`{places.settings}/env` are read by root alone before the service gives its rights up.
"""
