"""Real instance types with their prices, and which of them fits."""

import gzip
import re
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from undercroft.planning.bounds import OutOfRange, bounded, one_of
from undercroft.planning.estimate import HOURS_A_MONTH

DATA: Final = Path(__file__).parent / "data"
DEFAULT_REGION: Final = {"aws": "us-east-1", "azure": "eastus", "gcp": "us-central1"}
CLOUDS: Final = tuple(DEFAULT_REGION)
USUAL: Final = {"inference": "t3.medium", "training": "p3.2xlarge", "embedding": "g4dn.xlarge", "api": "t3.small"}
"""What is asked for when nothing but the kind of work is known, on AWS."""
USUAL_OTHERWISE: Final = "t3.micro"
OLD_GENERATIONS: Final = 2
"""So far behind the newest of its series, a type is called previous generation."""

Architecture = Literal["amd64", "arm64"]


class Instance(Struct, frozen=True):
    """One instance type in one region. Prices in USD an hour, on demand and spot; None: unknown."""

    provider: str
    region: str
    name: str
    vcpu: int
    memory_gib: float
    arch: str
    gpu_model: str
    gpu_count: int
    gpu_memory_gib: float
    """Of each GPU."""
    usd_hour: float
    usd_hour_spot: float | None

    @property
    def usd_month(self) -> float:
        return self.usd_hour * HOURS_A_MONTH

    @property
    def is_burstable(self) -> bool:
        """Whether it runs on CPU credits or a shared core: full speed only for a while."""
        patterns = {"aws": r"t\d", "azure": r"Standard_B", "gcp": r"(e2-(micro|small|medium)|f1-|g1-)"}
        return re.match(patterns[self.provider], self.name) is not None


class Source(Struct, frozen=True):
    """Where a cloud's prices come from."""

    as_of: str
    source: str


class Needs(Struct, frozen=True, kw_only=True):
    """What an instance must have at least."""

    vcpu: float = 1.0
    memory_gib: float = 0.5
    gpu_memory_gib: float = 0.0
    """Of all its GPUs together; 0: no GPU."""
    arch: Architecture | None = None
    takes_burstable: bool = True
    prefers_spot: bool = False


class Recommendation(Struct, frozen=True):
    """The cheapest fitting instance type, with the reasons and what to be careful about."""

    instance: Instance
    usd_month: float
    as_of: str
    source: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    alternatives: tuple[Instance, ...]


PROFILES: Final = {
    "inference": Needs(vcpu=2, memory_gib=4, takes_burstable=False),
    "training": Needs(vcpu=8, memory_gib=32, gpu_memory_gib=16, takes_burstable=False),
    "embedding": Needs(vcpu=4, memory_gib=16, gpu_memory_gib=16, takes_burstable=False),
    "api": Needs(vcpu=2, memory_gib=2),
}


@lru_cache(maxsize=1)
def sources() -> dict[str, Source]:
    """By cloud."""
    return msgspec.json.decode((DATA / "sources.json").read_bytes(), type=dict[str, Source])


@lru_cache(maxsize=1)
def _table() -> list[str]:
    return gzip.decompress((DATA / "instance_prices.csv.gz").read_bytes()).decode().splitlines()[1:]


@lru_cache(maxsize=1)
def regions() -> dict[str, tuple[str, ...]]:
    """The regions with prices, by cloud."""
    found: dict[str, set[str]] = {cloud: set() for cloud in CLOUDS}
    for line in _table():
        cloud, region, _ = line.split(",", 2)
        found[cloud].add(region)
    return {cloud: tuple(sorted(names)) for cloud, names in found.items()}


@lru_cache(maxsize=8)
def instances(provider: str, region: str | None = None) -> tuple[Instance, ...]:
    """All types of a region (its cloud's default one), cheapest first. Raises OutOfRange."""
    one_of("provider", provider, CLOUDS)
    region = one_of("region", region or DEFAULT_REGION[provider], regions()[provider])
    prefix = f"{provider},{region},"
    found = [_instance(line) for line in _table() if line.startswith(prefix)]
    return tuple(sorted(found, key=lambda each: (each.usd_hour, each.name)))


def _instance(line: str) -> Instance:
    cloud, region, name, vcpu, memory, arch, gpu, gpus, gpu_memory, usd, spot = line.split(",")
    return Instance(
        provider=cloud,
        region=region,
        name=name,
        vcpu=int(float(vcpu)),
        memory_gib=float(memory),
        arch=arch,
        gpu_model=gpu,
        gpu_count=int(float(gpus)),
        gpu_memory_gib=float(gpu_memory),
        usd_hour=float(usd),
        usd_hour_spot=float(spot) if spot else None,
    )


def named(name: str, provider: str = "aws", region: str | None = None) -> Instance:
    """The type of this name. Raises OutOfRange with the nearest name."""
    found = {each.name: each for each in instances(provider, region)}
    return found[one_of("instance", name, found)]


def select_instance_type(
    workload_type: str,
    *,
    provider: str = "aws",
    region: str | None = None,
    vcpu: float | None = None,
    memory_gib: float | None = None,
    gpu_memory_gib: float | None = None,
    arch: Architecture | None = None,
) -> str:
    """The name of an instance type. With nothing but the kind of work, the usual one (`USUAL`); with more, the
    cheapest that fits, as `recommend_instance` finds it. Raises ValueError for what no instance has."""
    asked = (region, vcpu, memory_gib, gpu_memory_gib, arch)
    if provider == "aws" and all(each is None for each in asked):
        return USUAL.get(workload_type, USUAL_OTHERWISE)
    return recommend_instance(
        workload_type,
        provider=provider,
        region=region,
        vcpu=vcpu,
        memory_gib=memory_gib,
        gpu_memory_gib=gpu_memory_gib,
        arch=arch,
    ).instance.name


def recommend_instance(
    workload_type: str = "api",
    *,
    provider: str = "aws",
    region: str | None = None,
    vcpu: float | None = None,
    memory_gib: float | None = None,
    gpu_memory_gib: float | None = None,
    arch: Architecture | None = None,
    spot: bool = False,
) -> Recommendation:
    """The cheapest instance type that has at least this much; what is not said comes from the kind of work.

    Raises ValueError (OutOfRange), naming the field, for an unknown cloud or region and for what no instance has.
    """
    profile = PROFILES.get(workload_type, Needs())
    needs = Needs(
        vcpu=profile.vcpu if vcpu is None else bounded("vcpu", vcpu, least=0.1, most=4096),
        memory_gib=profile.memory_gib
        if memory_gib is None
        else bounded("memory_gib", memory_gib, least=0.1, most=65_536),
        gpu_memory_gib=profile.gpu_memory_gib
        if gpu_memory_gib is None
        else bounded("gpu_memory_gib", gpu_memory_gib, least=0, most=65_536),
        arch=arch,
        takes_burstable=profile.takes_burstable,
        prefers_spot=spot,
    )
    found = cheapest(needs, provider, region)
    says_more = any(each is not None for each in (vcpu, memory_gib, gpu_memory_gib, arch))
    if workload_type not in USUAL or provider != "aws" or says_more:
        return found
    usual = [f"{USUAL[workload_type]}, the usual answer: {each}" for each in cautions(USUAL[workload_type])]
    return msgspec.structs.replace(found, warnings=(*found.warnings, *usual))


def cheapest(needs: Needs, provider: str, region: str | None = None) -> Recommendation:
    """The cheapest type that has what is needed, of the current generations where one has. Raises OutOfRange."""
    known = instances(provider, region)
    fitting = [each for each in known if _fits(each, needs)]
    if not fitting:
        raise OutOfRange(_why_none(needs, known), param="vcpu")
    current = [each for each in fitting if is_current(each)] or fitting
    order = sorted(current, key=lambda each: (_price(each, needs), each.name))
    best = order[0]
    price = _price(best, needs)
    kind = "spot" if needs.prefers_spot and best.usd_hour_spot is not None else "on demand"
    gpu = f", {best.gpu_count} GPU {best.gpu_model} of {best.gpu_memory_gib:g} GiB" if best.gpu_count else ""
    source = sources()[provider]
    return Recommendation(
        instance=best,
        usd_month=price * HOURS_A_MONTH,
        as_of=source.as_of,
        source=source.source,
        reasons=(
            f"the cheapest of {len(fitting)} types in {provider}/{best.region} that fit: {price:g} USD an hour {kind}",
            f"{best.vcpu} vCPU and {best.memory_gib:g} GiB ({best.arch}){gpu}",
        ),
        warnings=(*cautions(best.name, provider, best.region), *_spot_caution(best, needs)),
        alternatives=tuple(order[1:4]),
    )


def cautions(name: str, provider: str = "aws", region: str | None = None) -> tuple[str, ...]:
    """What to know before renting this type."""
    known = instances(provider, region)
    instance = next((each for each in known if each.name == name), None)
    found = []
    if instance is None:
        found.append("its price is unknown: it has no row in the data")
    elif instance.is_burstable:
        found.append("burstable: it is throttled once its CPU credits are used up")
    series = _series(provider, name, instance.arch if instance else "amd64")
    generation = _generation(provider, name)
    newest = 0 if series is None else _newest(provider, region).get(series, 0)
    if _lags(provider, generation, newest):
        found.append(f"previous generation: its series is at {newest} now, this is {generation}")
    return tuple(found)


def _spot_caution(instance: Instance, needs: Needs) -> tuple[str, ...]:
    if not needs.prefers_spot:
        return ()
    if instance.usd_hour_spot is None:
        return ("its spot price is unknown; the price is that on demand",)
    return ("spot: it can be taken away within minutes",)


def _fits(instance: Instance, needs: Needs) -> bool:
    gpu_memory = instance.gpu_count * instance.gpu_memory_gib
    return (
        instance.vcpu >= needs.vcpu
        and instance.memory_gib >= needs.memory_gib
        and (gpu_memory >= needs.gpu_memory_gib if needs.gpu_memory_gib else instance.gpu_count == 0)
        and needs.arch in (None, instance.arch)
        and (needs.takes_burstable or not instance.is_burstable)
    )


def _price(instance: Instance, needs: Needs) -> float:
    if needs.prefers_spot and instance.usd_hour_spot is not None:
        return instance.usd_hour_spot
    return instance.usd_hour


def _why_none(needs: Needs, known: tuple[Instance, ...]) -> str:
    most = max(known, key=lambda each: (each.gpu_count * each.gpu_memory_gib, each.vcpu, each.memory_gib))
    largest = max(known, key=lambda each: (each.vcpu, each.memory_gib))
    best = most if needs.gpu_memory_gib else largest
    gpu = f" and {best.gpu_count * best.gpu_memory_gib:g} GiB on GPUs" if needs.gpu_memory_gib else ""
    wanted = f" and {needs.gpu_memory_gib:g} GiB on GPUs" if needs.gpu_memory_gib else ""
    return (
        f"No instance in {best.provider}/{best.region} has {needs.vcpu:g} vCPU, {needs.memory_gib:g} GiB{wanted}"
        f"{' on ' + needs.arch if needs.arch else ''}; the nearest is {best.name} with {best.vcpu} vCPU, "
        f"{best.memory_gib:g} GiB{gpu}. Plan several replicas."
    )


_SERIES: Final = {
    "aws": re.compile(r"(?P<series>[a-z]+?)(?P<generation>\d+)"),
    "azure": re.compile(r"Standard_(?P<series>[A-Z]+)\d.*?(?:_v(?P<generation>\d+))?$"),
    "gcp": re.compile(r"(?P<series>[cent])(?P<generation>\d+)"),  # the numbers of its GPU series are no generations
}


def _generation(provider: str, name: str) -> int:
    match = _SERIES[provider].match(name)
    return int(match["generation"] or 1) if match else 0


def _series(provider: str, name: str, arch: str) -> tuple[str, str] | None:
    match = _SERIES[provider].match(name)
    return (match["series"], arch) if match else None


@lru_cache(maxsize=8)
def _newest(provider: str, region: str | None) -> dict[tuple[str, str], int]:
    newest: dict[tuple[str, str], int] = {}
    for each in instances(provider, region):
        series = _series(each.provider, each.name, each.arch)
        if series is not None:
            newest[series] = max(newest.get(series, 0), _generation(each.provider, each.name))
    return newest


def is_current(instance: Instance) -> bool:
    """Whether it is of a current generation, as far as its name says."""
    series = _series(instance.provider, instance.name, instance.arch)
    generation = _generation(instance.provider, instance.name)
    newest = _newest(instance.provider, instance.region)
    return series is None or not _lags(instance.provider, generation, newest[series])


def _lags(provider: str, generation: int, newest: int) -> bool:
    """AWS gave some of its first series no successor of the same letter."""
    return newest - generation >= OLD_GENERATIONS or (provider == "aws" and generation == 1)
