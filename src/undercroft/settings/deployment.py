"""`[deploy]`: what `undercroft deploy render` writes files for. The server itself has no use for it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from undercroft.settings.section import Count, Positive, Section, Text

Cpu = Annotated[
    str, Field(pattern=r"^([1-9][0-9]{0,2}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9]|[1-9][0-9]{0,5}m)$", examples=["500m"])
]
Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(Mi|Gi)$", examples=["512Mi"])]
Label = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,48}[a-z0-9])?$", examples=["ai-api"])]
Image = Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$", examples=["python:3.11-slim"])]
Registry = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:/_-]*[a-z0-9]$", examples=["mirror.example/hub"])]
Folder = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$", examples=["api"])]
Host = Annotated[
    str, Field(max_length=253, pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", examples=["1.0.0"])]
Address = Annotated[str, Field(pattern=r"^https?://[^\s@]+$", examples=["https://packages.example/simple"])]
PortNumber = Annotated[int, Field(ge=1, le=65535)]


CALLS_END_EARLIER_S = 5
"""A call ends this long before a function's host would end the function under it: then it is booked."""


class DeployImages(Section):
    """Container images: our own, and the public ones it stands on or beside."""

    application: Image = "myregistry/ai-api"
    """Our own image, without a tag."""
    tag: Tag | None = None
    """Its tag; default: the version of undercroft."""
    registry: Registry | None = None
    """Mirror that stands in front of every public image."""
    python: Image = "python:3.11-slim"
    """What the application's image is built on."""
    cuda: Image = "nvidia/cuda:13.0.1-runtime-ubuntu24.04"
    """What the GPU image is built on; it brings a Python of 3.11 or newer."""
    aws_lambda: Image = "public.ecr.aws/lambda/python:3.12"
    """What the image of a Lambda function is built on; the mirror does not stand in front of it."""
    postgres: Image = "postgres:15"
    """PostgreSQL of compose."""
    redis: Image = "redis:7-alpine"
    """Redis of compose."""
    qdrant: Image = "qdrant/qdrant:v1.18.2"
    """Qdrant of compose."""
    vllm: Image = "vllm/vllm-openai:v0.33.0"
    """vLLM of compose's profile `gpu`."""
    caddy: Image = "caddy:2.10.0-alpine"
    """Caddy of compose's profile `proxy`."""
    prometheus: Image = "prom/prometheus:v3.5.0"
    """Prometheus of compose's profile `monitoring`."""
    grafana: Image = "grafana/grafana:12.1.1"
    """Grafana of compose's profile `monitoring`."""
    otel_collector: Image = "otel/opentelemetry-collector:0.128.0"
    """OpenTelemetry collector of compose's profile `monitoring`."""


class DeployBuild(Section):
    """How the image is built."""

    with_model: bool | None = None
    """Whether the bundled models are part of it (about 250 MB); default: for compose, not for Kubernetes."""
    code: tuple[Folder, ...] = ()
    """Folders of your own code, beside the rendered Dockerfile, that go into the image."""
    command: tuple[Text, ...] = ("undercroft", "serve")
    """What the API's containers run, e.g. uvicorn with an application of your own, on port 8000 of every address."""
    index_url: Address | None = None
    """Package index; default: the one of the machine that builds."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust besides the system's, while building and when it runs."""


class DeployPorts(Section):
    """Ports on the host, for compose."""

    api: PortNumber = 8000
    """The API, on loopback."""
    redis: PortNumber = 6379
    """Redis, on loopback, where it is published."""
    qdrant: PortNumber = 6333
    """Qdrant, on loopback, where it is published."""
    publish: bool = False
    """Publish Redis and Qdrant on loopback as well; nobody asks them for a password there."""


class DeployApi(Section):
    """The containers that answer."""

    replicas: Positive = 3
    """How many (compose: one)."""
    max_replicas: Positive = 10
    """How many they may become under load."""
    in_flight: Positive = 50
    """Calls under way that each is meant for; where the place scales by it, more of them make another one."""
    cpu: Cpu = "500m"
    """CPU that each is given."""
    memory: Memory = "512Mi"
    """Memory that each is given."""
    cpu_limit: Cpu = "1000m"
    """CPU that none gets more of."""
    memory_limit: Memory = "1Gi"
    """Memory beyond which it is killed."""


class DeployWorker(Section):
    """The containers that do jobs."""

    replicas: Positive = 2
    """How many (compose: one)."""
    max_replicas: Positive = 20
    """How many they may become while jobs wait."""
    concurrency: Positive = 8
    """Jobs that each does at once."""
    queue_age_s: Positive = 60
    """How old the oldest waiting job may become; where the place scales by it, an older one makes more of them."""
    cpu: Cpu = "500m"
    """CPU that each is given."""
    memory: Memory = "512Mi"
    """Memory that each is given."""
    cpu_limit: Cpu = "1000m"
    """CPU that none gets more of."""
    memory_limit: Memory = "1Gi"
    """Memory beyond which it is killed."""


class DeployGpu(Section):
    """Graphics cards, for a model of your own behind vLLM."""

    count: Count = 0
    """Cards that each API container is given; from 1 the GPU image takes the place of the other."""
    model: Text = "Qwen/Qwen3-8B"
    """What vLLM serves, as the model hub names it."""
    memory_limit: Memory = "24Gi"
    """Memory (not the card's) beyond which such a container is killed."""


class DeployFunction(Section):
    """A serverless function (Vercel, AWS Lambda), in place of containers."""

    memory: Memory = "1Gi"
    """Memory; AWS gives CPU in proportion to it, one core at 1769 MiB."""
    timeout_s: Annotated[int, Field(ge=10, le=900)] = 60
    """Longest time for one request; calls end 5 s earlier, so that they are booked before the host ends them."""


class DeployVolumes(Section):
    """What lasts beyond a container, in Kubernetes."""

    spool: Memory = "1Gi"
    """Room on the node for call records on their way to the database."""


Percent = Annotated[int, Field(ge=1, le=100)]


class DeployHost(Section):
    """Versions side by side on one machine: `undercroft deploy up`, `switch` and `rollback`."""

    steps: Annotated[tuple[Percent, ...], Field(min_length=1, max_length=50)] = (5, 25, 50, 100)
    """Percent of the connections that a new version is given, one after the other, the last being 100."""
    step_s: Annotated[float, Field(ge=0, le=86_400)] = 10.0
    """How long each step is watched."""
    bake_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How long the new version is watched with all of the traffic, while the one before is ready to take it back."""
    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of answers with 5xx, above what the other version has in the same time, that takes the traffic back."""
    max_latency_factor: Annotated[float, Field(ge=1, le=1000)] = 2.0
    """How much longer than the other version's its answers may take to begin, at the 95th percentile."""
    min_requests: Positive = 20
    """With fewer requests in a step nothing is concluded from them."""
    start_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    """How long a new version may take until it is ready."""
    probe: bool = True
    """Whether a new version is asked for a short answer before anybody is sent to it; it costs a few tokens."""
    probe_model: Text | None = None
    """The model that is asked; default: the default model."""
    probe_key: SecretStr | None = None
    """The key that asks; default: the master key."""
    drain_s: Annotated[float, Field(ge=0, le=86_400)] = 600.0
    """How long a version without traffic goes on with what it is answering, before it is told to end."""
    keep: Annotated[int, Field(ge=2, le=100)] = 3
    """Versions that are kept to go back to, the one that serves included."""


class Deploy(Section):
    """What `undercroft deploy render` writes files for."""

    name: Label = "ai-api"
    """What the application is called."""
    domain: Host = "localhost"
    """The name that it is reached by from outside, for the proxy that does TLS."""
    database: Literal["postgres", "external", "sqlite"] = "postgres"
    """`postgres`: compose brings one; `external`: DATABASE_URL says where; `sqlite`: a file, for one container."""
    redis: bool = True
    """Whether there is a Redis for what processes share, and for Celery."""
    qdrant: bool = True
    """Whether there is a Qdrant for vectors."""
    secrets: dict[str, Label] = {}
    """Further variables that containers get from the secret `api-secrets`, each with its key there."""
    regions: Annotated[tuple[Label, ...], Field(min_length=1)] = ("us-east-1",)
    """Cloud regions; each gets an overlay of its own."""
    preferences: dict[Label, Annotated[tuple[Text, ...], Field(min_length=1)]] = {}
    """Providers by region, in the order in which they are asked there: the first answers, the next when it cannot."""
    own_regions: tuple[Label, ...] = ()
    """Regions that no cloud has: what your own nodes say in their label `topology.kubernetes.io/region`."""
    images: DeployImages = DeployImages.model_construct()
    build: DeployBuild = DeployBuild.model_construct()
    ports: DeployPorts = DeployPorts.model_construct()
    api: DeployApi = DeployApi.model_construct()
    worker: DeployWorker = DeployWorker.model_construct()
    gpu: DeployGpu = DeployGpu.model_construct()
    function: DeployFunction = DeployFunction.model_construct()
    volumes: DeployVolumes = DeployVolumes.model_construct()
    host: DeployHost = DeployHost.model_construct()
