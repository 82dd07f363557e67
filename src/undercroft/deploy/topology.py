"""The one description that every target renders from: `[deploy]`, the other settings, and the command's options."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from undercroft.deploy.wheel import file_name
from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.settings.deployment import Deploy, DeployApi, DeployWorker
from undercroft.settings.deployment_rules import SECRETS, mebibytes, milli_cpu
from undercroft.settings.model import Settings
from undercroft.settings.rules import key_variable
from undercroft.settings.secrets import secrets_of
from undercroft.settings.slo import Slo
from undercroft.settings.sources import Loaded

REQUIRED: frozenset[str] = frozenset({"UNDERCROFT_MASTER_KEY", "ENCRYPTION_KEY", "DATABASE_URL"})
"""Secrets without which a container would be of no use; the others may be missing."""


Layout = Literal["standard", "monolith", "microservices"]
"""How the one program is spread over containers: API and worker; all in one; a container for each role."""


@dataclass(frozen=True, slots=True)
class Package:
    """Where undercroft itself comes from: a wheel in `vendor/`, or what pip is asked for."""

    version: str
    wheel: str | None = None
    """File name of the wheel."""
    url: str | None = None

    def requirement(self, *extras: str) -> str:
        """What pip takes, seen from the bundle's folder."""
        options = f"[{','.join(extras)}]" if extras else ""
        if self.wheel is not None:
            return f"./vendor/{self.wheel}{options}"
        return f"undercroft{options} @ {self.url}" if self.url else f"undercroft{options}=={self.version}"


@dataclass(frozen=True, slots=True)
class Images:
    """Complete names, the mirror in front and the tag behind."""

    application: str
    gpu: str
    """The application beside vLLM."""
    python: str
    cuda: str
    aws_lambda: str
    postgres: str
    redis: str
    qdrant: str
    vllm: str
    caddy: str
    prometheus: str
    grafana: str
    otel_collector: str


@dataclass(frozen=True, slots=True)
class Build:
    """How the image is built; `with_model` is None where each target has its own default."""

    with_model: bool | None = None
    index_url: str | None = None
    ca_file: Path | None = None
    code: tuple[str, ...] = ()
    command: tuple[str, ...] = ("undercroft", "serve")


@dataclass(frozen=True, slots=True)
class Process:
    """Containers of one kind. CPU in thousandths of a core, memory in MiB."""

    replicas: int
    max_replicas: int
    cpu_milli: int
    cpu_limit_milli: int
    memory_mib: int
    memory_limit_mib: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """Cards of one API container, and what vLLM serves with them."""

    count: int
    model: str
    memory_limit_mib: int


@dataclass(frozen=True, slots=True)
class Function:
    """What a function is given for one request."""

    memory_mib: int
    timeout_s: int


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on the host; `publish` says whether those of Redis and Qdrant are opened too."""

    api: int
    redis: int
    qdrant: int
    publish: bool


@dataclass(frozen=True, slots=True)
class Secret:
    """A variable that containers get, and its key in the secret `api-secrets`."""

    variable: str
    key: str
    required: bool


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything a target may ask, checked: there is no combination that a target could not deploy."""

    name: str
    package: Package
    images: Images
    build: Build
    api: Process
    worker: Process
    worker_concurrency: int
    gpu: Gpu
    function: Function
    ports: Ports
    database: Literal["postgres", "external", "sqlite"]
    has_redis: bool
    has_qdrant: bool
    secrets: tuple[Secret, ...]
    regions: tuple[str, ...]
    spool_mib: int
    has_models: bool = False
    """Whether the settings say which models there are."""
    egress_ports: tuple[int, ...] = ()
    """Ports of the models' addresses, besides 443."""
    slo: Slo = field(default_factory=Slo)
    """What was promised."""
    settings_file: str | None = None
    """Text of `undercroft.toml`, for the containers; no secret stands in it."""
    domain: str = "localhost"
    """The name that it is reached by from outside."""
    in_flight: int = 50
    """Calls under way that each API container is meant for."""
    queue_age_s: int = 60
    """How old the oldest waiting job may become."""
    preferences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Providers by region, in the order in which they are asked there."""
    layout: Layout = "standard"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says over `[deploy]`."""

    source: str | None = None
    """`--undercroft-source`: an address or a version in place of the wheel."""
    with_model: bool | None = None
    publish_ports: bool = False
    region: str | None = None
    layout: Layout = "standard"


def topology(
    loaded: Loaded, *, version: str, settings_file: str | None = None, options: Options | None = None
) -> Topology:
    """Raises ConfigurationError with a line for everything that cannot be deployed, and InvalidRequest for options."""
    options = options or Options()
    deploy = loaded.settings.deploy
    if problems := [*_elsewhere(loaded, settings_file), *_uncarried(loaded)]:
        raise ConfigurationError("\n".join(problems))
    return Topology(
        name=deploy.name,
        package=package_from(options.source, version=version),
        images=_images(deploy, version),
        build=Build(
            deploy.build.with_model if options.with_model is None else options.with_model,
            deploy.build.index_url,
            deploy.build.ca_file,
            deploy.build.code,
            deploy.build.command,
        ),
        api=_process(deploy.api),
        worker=_process(deploy.worker),
        worker_concurrency=deploy.worker.concurrency,
        gpu=Gpu(deploy.gpu.count, deploy.gpu.model, mebibytes(deploy.gpu.memory_limit)),
        function=Function(mebibytes(deploy.function.memory), deploy.function.timeout_s),
        ports=Ports(
            deploy.ports.api, deploy.ports.redis, deploy.ports.qdrant, deploy.ports.publish or options.publish_ports
        ),
        database=deploy.database,
        has_redis=deploy.redis,
        has_qdrant=deploy.qdrant,
        secrets=_secrets(deploy),
        regions=_regions(deploy, options.region),
        spool_mib=mebibytes(deploy.volumes.spool),
        has_models=bool(loaded.settings.models),
        egress_ports=tuple(sorted(_ports(loaded.settings))),
        slo=loaded.settings.slo,
        settings_file=settings_file,
        domain=deploy.domain,
        in_flight=deploy.api.in_flight,
        queue_age_s=deploy.worker.queue_age_s,
        preferences=deploy.preferences,
        layout=options.layout,
    )


def placeholders(settings_text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Values for the secrets that the file refers to and that only the deployment will have.

    With them the settings can be read on a machine that knows none of the secrets.
    """
    names = {"UNDERCROFT_MASTER_KEY", *re.findall(r"[\"']env:([A-Za-z_][A-Za-z0-9_]*)[\"']", settings_text)}
    values = dict.fromkeys(names, "known-where-it-is-deployed")
    values["DATABASE_URL"] = "postgresql://db.example/undercroft"
    return {name: value for name, value in values.items() if not environment.get(name)}


def _elsewhere(loaded: Loaded, settings_file: str | None) -> Iterator[str]:
    """What the file says that holds on this machine alone, or for its eyes only."""
    settings = loaded.settings
    if settings_file is not None and any(secret in settings_file for secret in secrets_of(settings)):
        yield (
            "undercroft.toml holds a secret in clear text, and it goes to every container; "
            'write env:NAME in its place, and NAME = "its-key" under [deploy.secrets]'
        )
    if settings.local.chat_gguf is not None:
        yield (
            f"{_where(loaded, 'local.chat_gguf')}local.chat_gguf names a file of this machine, and no container has "
            "it; leave it out, or serve it with vLLM or Ollama and name that under [[models]]"
        )
    if settings.egress.ca_file is not None:
        yield (
            f"{_where(loaded, 'egress.ca_file')}egress.ca_file names a file of this machine; write it as ca_file under "
            "[deploy.build]: then the image trusts it"
        )
    for place, origin in loaded.provenance.items():
        if origin.name.startswith("file:"):
            yield f"{origin}: {place} is read from a file of this machine, and no container has it; write env:NAME"


def _uncarried(loaded: Loaded) -> Iterator[str]:
    """Variables that models need and that no container would get."""
    carried = {*SECRETS, *loaded.settings.deploy.secrets}
    for position, model in enumerate(loaded.settings.models):
        for number, deployment in enumerate(model.deployments):
            place = f"models[{position}].deployments[{number}]"
            origin = loaded.provenance.get(f"{place}.api_key")
            reference = origin.name if origin is not None else ""
            variable = reference.removeprefix("env:") if reference.startswith("env:") else None
            if deployment.api_key is None:
                variable = key_variable(deployment)
            if variable is not None and variable not in carried:
                key = variable.removesuffix("_API_KEY").lower().replace("_", "-")
                yield (
                    f"{_where(loaded, f'{place}.provider')}{place} needs {variable}, and no container gets it; "
                    f'write {variable} = "{key}-key" under [deploy.secrets]'
                )


def _where(loaded: Loaded, setting: str) -> str:
    origin = loaded.provenance.get(setting)
    return f"{origin}: " if origin is not None else ""


def package_from(source: str | None, *, version: str) -> Package:
    """Where `--undercroft-source` says that undercroft comes from; without it, a wheel. Raises InvalidRequest."""
    if source is None:
        return Package(version, wheel=file_name(version))
    if re.fullmatch(r"(https?|git\+https|git\+ssh)://[^\s'\"]+", source):
        return Package(version, url=source)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)*([a-z]+[0-9]+|\.dev[0-9]+|\.post[0-9]+)?", source):
        return Package(source)
    raise InvalidRequest(
        f"--undercroft-source takes an address or a version, got {source!r};",
        hint="write https://…/undercroft-1.0.0-py3-none-any.whl, git+https://…, or 1.0.0",
    )


def _images(deploy: Deploy, version: str) -> Images:
    images = deploy.images

    def mirrored(name: str) -> str:
        return f"{images.registry}/{name}" if images.registry else name

    tag = images.tag or version.replace("+", "-")
    return Images(
        application=f"{images.application}:{tag}",
        gpu=f"{images.application}-gpu:{tag}",
        python=mirrored(images.python),
        cuda=mirrored(images.cuda),
        aws_lambda=images.aws_lambda,
        postgres=mirrored(images.postgres),
        redis=mirrored(images.redis),
        qdrant=mirrored(images.qdrant),
        vllm=mirrored(images.vllm),
        caddy=mirrored(images.caddy),
        prometheus=mirrored(images.prometheus),
        grafana=mirrored(images.grafana),
        otel_collector=mirrored(images.otel_collector),
    )


def _process(process: DeployApi | DeployWorker) -> Process:
    return Process(
        replicas=process.replicas,
        max_replicas=process.max_replicas,
        cpu_milli=milli_cpu(process.cpu),
        cpu_limit_milli=milli_cpu(process.cpu_limit),
        memory_mib=mebibytes(process.memory),
        memory_limit_mib=mebibytes(process.memory_limit),
    )


def _secrets(deploy: Deploy) -> tuple[Secret, ...]:
    absent = set() if deploy.database != "sqlite" else {"DATABASE_URL", "CELERY_BROKER_URL"}
    absent |= set() if deploy.redis else {"REDIS_URL", "CELERY_BROKER_URL"}
    absent |= set() if deploy.qdrant else {"QDRANT_URL"}
    known = [Secret(name, key, name in REQUIRED) for name, key in SECRETS.items() if name not in absent]
    return (*known, *(Secret(name, key, required=True) for name, key in deploy.secrets.items()))


def _ports(settings: Settings) -> set[int]:
    addresses = [urlsplit(each.base_url) for model in settings.models for each in model.deployments if each.base_url]
    return {address.port or (443 if address.scheme == "https" else 80) for address in addresses}


def _regions(deploy: Deploy, region: str | None) -> tuple[str, ...]:
    if region is None:
        return deploy.regions
    if region not in deploy.regions:
        raise InvalidRequest(
            f"--region takes one of {', '.join(deploy.regions)}, got {region!r};",
            hint="write it into regions under [deploy] first.",
        )
    return (region,)
