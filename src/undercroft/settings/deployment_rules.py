"""What no single setting of `[deploy]` shows to be wrong."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from undercroft.settings.deployment import Deploy, DeployApi, DeployWorker
from undercroft.settings.explain import did_you_mean
from undercroft.settings.locate import Place

Problem = tuple[Place, str]
"""Where, and what is wrong; the words follow the setting's name."""

SECRETS: Final[Mapping[str, str]] = {
    "UNDERCROFT_MASTER_KEY": "master-key",
    "ENCRYPTION_KEY": "encryption-key",
    "DATABASE_URL": "database-url",
    "REDIS_URL": "redis-url",
    "CELERY_BROKER_URL": "celery-broker-url",
    "QDRANT_URL": "qdrant-url",
    "OPENAI_API_KEY": "openai-key",
}
"""Variables that every deployment may have, each with its key in the secret `api-secrets`."""

_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,99}")

AWS_REGIONS: Final = (
    "af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
    "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ca-central-1", "ca-west-1", "eu-central-1",
    "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1",
    "me-central-1", "me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
)  # fmt: skip
GOOGLE_REGIONS: Final = (
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3", "asia-south1",
    "asia-south2", "asia-southeast1", "asia-southeast2", "australia-southeast1", "australia-southeast2",
    "europe-central2", "europe-north1", "europe-southwest1", "europe-west1", "europe-west2", "europe-west3",
    "europe-west4", "europe-west6", "europe-west8", "europe-west9", "europe-west10", "europe-west12", "me-central1",
    "me-central2", "me-west1", "northamerica-northeast1", "northamerica-northeast2", "northamerica-south1",
    "southamerica-east1", "southamerica-west1", "us-central1", "us-east1", "us-east4", "us-east5", "us-south1",
    "us-west1", "us-west2", "us-west3", "us-west4",
)  # fmt: skip
AZURE_REGIONS: Final = (
    "australiacentral", "australiaeast", "australiasoutheast", "brazilsouth", "canadacentral", "canadaeast",
    "centralindia", "centralus", "eastasia", "eastus", "eastus2", "francecentral", "germanywestcentral",
    "israelcentral", "italynorth", "japaneast", "japanwest", "koreacentral", "koreasouth", "mexicocentral",
    "newzealandnorth", "northcentralus", "northeurope", "norwayeast", "polandcentral", "qatarcentral",
    "southafricanorth", "southcentralus", "southeastasia", "southindia", "spaincentral", "swedencentral",
    "switzerlandnorth", "uaenorth", "uksouth", "ukwest", "westcentralus", "westeurope", "westus", "westus2", "westus3",
)  # fmt: skip


def problems(deploy: Deploy) -> Iterator[Problem]:
    """Everything that keeps this from being deployed anywhere."""
    if deploy.database == "sqlite" and deploy.api.replicas > 1:
        yield (
            ("deploy", "api", "replicas"),
            (
                f"is {deploy.api.replicas}, and a SQLite file serves one container; write replicas = 1 there, "
                'or database = "postgres" under [deploy]'
            ),
        )
    yield from _ports(deploy)
    yield from _process("api", deploy.api)
    yield from _process("worker", deploy.worker)
    yield from _regions(deploy)
    yield from _preferences(deploy)
    yield from _secrets(deploy)
    yield from _steps(deploy.host.steps)


def milli_cpu(text: str) -> int:
    """`500m` and `0.5` are 500 thousandths of a core."""
    return int(text[:-1]) if text.endswith("m") else round(float(text) * 1000)


def mebibytes(text: str) -> int:
    """`1Gi` is 1024."""
    return int(text[:-2]) * (1024 if text.endswith("Gi") else 1)


def _ports(deploy: Deploy) -> Iterator[Problem]:
    seen: dict[int, str] = {}
    for name in ("api", "redis", "qdrant"):
        port: int = getattr(deploy.ports, name)
        if port in seen:
            yield ("deploy", "ports", name), f"is {port}, as {seen[port]} is; write a port that nothing else has"
        seen[port] = name


def _process(name: str, process: DeployApi | DeployWorker) -> Iterator[Problem]:
    place: Place = ("deploy", name)
    if process.max_replicas < process.replicas:
        yield (
            (*place, "max_replicas"),
            (
                f"is {process.max_replicas}, fewer than the {process.replicas} of replicas; "
                f"write max_replicas = {process.replicas} or more"
            ),
        )
    if milli_cpu(process.cpu) > milli_cpu(process.cpu_limit):
        yield (*place, "cpu_limit"), f"is {process.cpu_limit}, less than cpu; write {process.cpu} or more"
    if mebibytes(process.memory) > mebibytes(process.memory_limit):
        yield (*place, "memory_limit"), f"is {process.memory_limit}, less than memory; write {process.memory} or more"


def _regions(deploy: Deploy) -> Iterator[Problem]:
    known = {*AWS_REGIONS, *GOOGLE_REGIONS, *AZURE_REGIONS, *deploy.own_regions}
    for position, region in enumerate(deploy.regions):
        place: Place = ("deploy", "regions", position)
        if region in deploy.regions[:position]:
            yield place, f"is {region!r} a second time"
        elif region not in known:
            yield (
                place,
                (
                    f"is {region!r}, which no cloud that is known here has{did_you_mean(region, sorted(known))}; "
                    "a region of your own goes into own_regions as well"
                ),
            )


def _preferences(deploy: Deploy) -> Iterator[Problem]:
    for region, providers in deploy.preferences.items():
        place: Place = ("deploy", "preferences", region)
        if region not in deploy.regions:
            yield place, f"is of a region that is not among regions{did_you_mean(region, deploy.regions)}"
        if len({*providers}) < len(providers):
            yield place, "names a provider twice"


def _steps(steps: tuple[int, ...]) -> Iterator[Problem]:
    if list(steps) != sorted(set(steps)) or steps[-1] != 100:
        yield ("deploy", "host", "steps"), f"is {list(steps)}; write rising numbers of which the last is 100"


def _secrets(deploy: Deploy) -> Iterator[Problem]:
    keys = {key: variable for variable, key in SECRETS.items()}
    for variable, key in deploy.secrets.items():
        place: Place = ("deploy", "secrets", variable)
        if not _VARIABLE.fullmatch(variable):
            yield place, "is no name of a variable; write capitals, digits and _"
        elif variable in SECRETS:
            yield place, f"is always there, with the key {SECRETS[variable]}; leave it out"
        elif key in keys:
            yield place, f"is {key!r}, the key of {keys[key]}; write one of its own"
        keys[key] = variable
