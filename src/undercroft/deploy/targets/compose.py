"""`compose`: the whole stack on one host, from one folder, with one command."""

from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy.bundle import Bundle, GeneratedSecret, made_by
from undercroft.deploy.targets import compose_profiles
from undercroft.deploy.targets.compose_profiles import limits
from undercroft.deploy.targets.docker import DATA, PORT, gpu_files, image_files, with_model
from undercroft.deploy.topology import Process, Topology
from undercroft.deploy.yaml import Alias, Anchored, Noted, document

SETTINGS: Final = "/etc/undercroft/undercroft.toml"
DATABASE: Final = "undercroft"
CONSOLE_PORT: Final = 8001

_MASTER_KEY: Final = GeneratedSecret("UNDERCROFT_MASTER_KEY", "token", "Opens every door: send it as a bearer token.")
_ENCRYPTION_KEY: Final = GeneratedSecret(
    "ENCRYPTION_KEY", "fernet", "Encrypts stored secrets, which are lost without it."
)
_PASSWORD: Final = GeneratedSecret("POSTGRES_PASSWORD", "token", "The database's, from the moment its volume is made.")

_LOGGED: Final = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


class Compose:
    name = "compose"
    summary = "the whole stack on one host"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        if topology.layout == "microservices" and topology.database == "sqlite":
            yield (
                'deploy.database is "sqlite", and a SQLite file serves one container; write --layout monolith, or '
                'database = "postgres"'
            )
        if topology.layout == "microservices" and topology.build.command[:2] != ("undercroft", "serve"):
            yield (
                f"deploy.build.command is {' '.join(topology.build.command)!r}, which takes no --role; leave it out "
                "for --layout microservices, or take another layout"
            )

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        files = {
            "docker-compose.yml": made + document(stack(topology)),
            ".gitignore": f"{made}.env\nvendor/\n",
            "README.md": _readme(topology),
            **image_files(topology, target=self.name, is_with_model=True),
            **compose_profiles.files(topology, target=self.name),
        }
        if topology.gpu.count:
            files |= gpu_files(topology, target=self.name)
        if topology.settings_file is not None:
            files["config/undercroft.toml"] = made + topology.settings_file
        password = (_PASSWORD,) if topology.database == "postgres" else ()
        return Bundle(files, env=(_MASTER_KEY, _ENCRYPTION_KEY, *password, *compose_profiles.SECRETS))


def stack(topology: Topology) -> dict[str, Any]:
    """The compose file as data."""
    services: dict[str, Any] = {"api": _api(topology)}
    volumes: dict[str, Any] = {
        "undercroft_data": Noted("Call records on their way to the database; all data where there is none.", {})
    }
    if topology.gpu.count:
        volumes["models_data"] = Noted("What vLLM has downloaded.", {})
    if topology.layout == "microservices":
        services["console"] = _console(topology)
    if topology.database != "sqlite" and topology.layout != "monolith":
        services["worker"] = _worker(topology)
    if topology.database == "postgres":
        services["db"] = _db(topology)
        volumes["postgres_data"] = {}
    if topology.has_redis:
        services["redis"] = _redis(topology)
        volumes["redis_data"] = {}
    if topology.has_qdrant:
        services["vector_db"] = _vector_db(topology)
        volumes["qdrant_data"] = {}
    return {
        "name": topology.name,
        "x-environment": Noted(
            "What api and worker are told, the same for both. Secrets come from .env, which git does not see.",
            Anchored("environment", _environment(topology)),
        ),
        "x-logging": Anchored("logging", _LOGGED),
        "services": services | compose_profiles.services(topology),
        "volumes": volumes | compose_profiles.volumes(topology),
        "secrets": compose_profiles.secrets(),
    }


def _environment(topology: Topology) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if topology.settings_file is not None:
        told["UNDERCROFT_CONFIG"] = SETTINGS
    for secret in topology.secrets:
        if secret.variable == "CELERY_BROKER_URL" and topology.layout == "monolith":
            continue  # with Celery, only what is nothing but a worker runs jobs
        told[secret.variable] = _value(secret.variable, topology, required=secret.required)
    told["UNDERCROFT_TELEMETRY__METRICS_TOKEN"] = f"${{{compose_profiles.METRICS_TOKEN.variable}:-}}"
    told["OTEL_EXPORTER_OTLP_ENDPOINT"] = Noted(
        f"With the profile monitoring: http://{compose_profiles.COLLECTOR}:4318.", "${OTEL_EXPORTER_OTLP_ENDPOINT:-}"
    )
    return told


def _value(variable: str, topology: Topology, *, required: bool) -> Any:
    """Addresses inside the stack are known; everything else stands in `.env`."""
    match variable:
        case "DATABASE_URL" if topology.database == "postgres":
            return f"postgresql://{DATABASE}:${{POSTGRES_PASSWORD:?is missing in .env}}@db:5432/{DATABASE}"
        case "REDIS_URL":
            return "redis://redis:6379/0"
        case "CELERY_BROKER_URL":
            return Noted(
                "Jobs on their way: another database of the Redis that writes to disk.", "redis://redis:6379/1"
            )
        case "QDRANT_URL":
            return "http://vector_db:6333"
        case _ if required:
            return f"${{{variable}:?is missing in .env}}"
        case _:
            return f"${{{variable}:-}}"


def _api(topology: Topology) -> dict[str, Any]:
    is_gpu = topology.gpu.count > 0
    build: dict[str, Any] = {"context": "."}
    if is_gpu:
        build["dockerfile"] = "Dockerfile.gpu"
    else:
        build["args"] = {"WITH_MODEL": "true" if with_model(topology, otherwise=True) else "false"}
    # A variable without a value is taken from the shell that builds, where it is set there.
    build.setdefault("args", {}).update({"PIP_INDEX_URL": None, "PIP_EXTRA_INDEX_URL": None})
    own: dict[str, Any] = {"shm_size": "2gb"} if is_gpu else {}
    memory = topology.gpu.memory_limit_mib if is_gpu else topology.api.memory_limit_mib
    return {
        "build": build,
        **_application(
            topology,
            {
                **_role(topology, "gateway"),
                "ports": Noted(
                    "Loopback only: what it is reached by from outside is a proxy with TLS on this host.",
                    [f"127.0.0.1:{topology.ports.api}:{PORT}"],
                ),
            },
            image=topology.images.gpu if is_gpu else topology.images.application,
        ),
        **own,
        **limits(cpu_milli=topology.api.cpu_limit_milli, memory_mib=memory, gpus=topology.gpu.count),
    }


def _role(topology: Topology, role: str) -> dict[str, Any]:
    """What a container is started with where each role has its own."""
    return {"command": [*topology.build.command, "--role", role]} if topology.layout == "microservices" else {}


def _console(topology: Topology) -> dict[str, Any]:
    own = {
        **_role(topology, "console"),
        "ports": Noted(
            "Management and pages; models are asked at the other port.", [f"127.0.0.1:{CONSOLE_PORT}:{PORT}"]
        ),
    }
    return {
        **_own_image(topology),
        **_application(topology, own, image=topology.images.application),
        **limits(cpu_milli=topology.api.cpu_limit_milli, memory_mib=topology.api.memory_limit_mib),
    }


def _worker(topology: Topology) -> dict[str, Any]:
    worker: Process = topology.worker
    return {
        **_own_image(topology),
        **_application(
            topology,
            {"command": ["undercroft", "worker", "--concurrency", str(topology.worker_concurrency)]},
            image=topology.images.application,
        ),
        "healthcheck": Noted(
            "The image's check asks the port of the server, and a worker has none. One that dies is started again.",
            {"disable": True},
        ),
        **limits(cpu_milli=worker.cpu_limit_milli, memory_mib=worker.memory_limit_mib),
    }


def _own_image(topology: Topology) -> dict[str, Any]:
    """How the image is built, where it is not the API's."""
    return {"build": {"context": "."}} if topology.gpu.count else {}


def _application(topology: Topology, own: dict[str, Any], *, image: str) -> dict[str, Any]:
    """What api and worker have in common, around what is one's own."""
    mounted = [f"undercroft_data:{DATA}", *(["models_data:/models"] if image == topology.images.gpu else [])]
    if topology.settings_file is not None:
        mounted.append(f"./config/undercroft.toml:{SETTINGS}:ro")
    needed = [
        name for name, is_there in (("db", topology.database == "postgres"), ("redis", topology.has_redis)) if is_there
    ]
    after = {"depends_on": {name: {"condition": "service_healthy"} for name in needed}} if needed else {}
    return {
        "image": image,
        **own,
        "environment": Alias("environment"),
        **after,
        "volumes": mounted,
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - a folder of the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": "40s",
        "restart": "unless-stopped",
        "logging": Alias("logging"),
    }


def _db(topology: Topology) -> dict[str, Any]:
    return {
        "image": topology.images.postgres,
        "environment": {
            "POSTGRES_USER": DATABASE,
            "POSTGRES_DB": DATABASE,
            "POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:?is missing in .env}",
        },
        "volumes": ["postgres_data:/var/lib/postgresql/data"],
        "healthcheck": {
            "test": Noted(
                "By TCP: while it is being set up, it listens on its socket alone.",
                ["CMD", "pg_isready", "--quiet", "-h", "127.0.0.1", "-U", DATABASE, "-d", DATABASE],
            ),
            "interval": "2s",
            "timeout": "2s",
            "retries": 30,
        },
        "shm_size": "128mb",
        "stop_grace_period": "60s",
        "restart": "unless-stopped",
        "logging": Alias("logging"),
        **limits(cpu_milli=2000, memory_mib=1024),
    }


def _redis(topology: Topology) -> dict[str, Any]:
    return {
        "image": topology.images.redis,
        "command": Noted(
            "A broker may neither forget what it holds nor throw it away when memory runs short.",
            ["redis-server", "--appendonly", "yes", "--maxmemory", "384mb", "--maxmemory-policy", "noeviction"],
        ),
        "volumes": ["redis_data:/data"],
        **_published(topology, topology.ports.redis, 6379),
        "healthcheck": {
            "test": ["CMD", "redis-cli", "ping"],
            "interval": "2s",
            "timeout": "2s",
            "retries": 15,
        },
        "restart": "unless-stopped",
        "logging": Alias("logging"),
        **limits(cpu_milli=1000, memory_mib=512),
    }


def _vector_db(topology: Topology) -> dict[str, Any]:
    ask = "exec 3<>/dev/tcp/127.0.0.1/6333 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"
    return {
        "image": topology.images.qdrant,
        "volumes": ["qdrant_data:/qdrant/storage"],
        **_published(topology, topology.ports.qdrant, 6333),
        "healthcheck": {
            "test": Noted("Its image has no curl.", ["CMD", "bash", "-c", ask]),
            "interval": "5s",
            "timeout": "3s",
            "retries": 12,
        },
        "restart": "unless-stopped",
        "logging": Alias("logging"),
        **limits(cpu_milli=2000, memory_mib=2048),
    }


def _published(topology: Topology, outside: int, inside: int) -> dict[str, Any]:
    return {"ports": [f"127.0.0.1:{outside}:{inside}"]} if topology.ports.publish else {}


def _readme(topology: Topology) -> str:
    port = topology.ports.api
    gpu = (
        ""
        if topology.gpu.count
        else (
            f"| `gpu` | vLLM with `{topology.gpu.model}` on one card; name it under `[[models]]` (provider `vllm`, "
            "`base_url` `http://vllm:8000/v1`) |\n"
        )
    )
    migrate = "" if topology.database == "sqlite" else "    docker compose exec api python manage.py migrate\n"
    console = (
        f"Models are asked there; what is managed and looked at (keys, usage, `/docs`) is at port {CONSOLE_PORT}.\n\n"
        if topology.layout == "microservices"
        else ""
    )
    waiting = (
        "Between the first two commands the server is up and says 503, naming what it waits for; within two seconds\n"
        "of the migration it serves.\n\n"
        if migrate
        else ""
    )
    return f"""\
# {topology.name} on one host

{made_by("compose", comment="").strip()}

Start it (the first time builds the image):

    docker compose up -d
{migrate}    curl localhost:{port}/health

{waiting}{console}Ask it. The master key stands in `.env`, which was made with random values; keep a copy of that
file elsewhere.

    set -a; . ./.env; set +a
    curl localhost:{port}/api/generate -H "Authorization: Bearer $UNDERCROFT_MASTER_KEY" \\
        -H 'Content-Type: application/json' -d '{{"prompt": "What is the capital of France?"}}'

Keys of providers go into `.env` too, a line `OPENAI_API_KEY=…` each; `docker compose up -d` puts them in force.

Some services start when their profile is asked for, once by `docker compose --profile NAME up -d`, or always by a line
`COMPOSE_PROFILES=monitoring,proxy` in `.env`:

| profile | what it starts |
| --- | --- |
| `proxy` | Caddy on ports 80 and 443, with a certificate for `{topology.domain}` that it gets and renews by itself |
| `monitoring` | Prometheus on 127.0.0.1:9090 with the alerts, Grafana on 127.0.0.1:3000 with the dashboards (user \
`admin`, `GRAFANA_PASSWORD` of `.env`), and an OpenTelemetry collector \
(`OTEL_EXPORTER_OTLP_ENDPOINT=http://otel_collector:4318` in `.env` sends traces there) |
{gpu}
Stop it with `docker compose down`; `docker compose down --volumes` deletes its data as well.
"""
