"""Plans as they are asked for in JSON: the command line's options under the names of the values themselves."""

from typing import Literal

from msgspec import Struct

from undercroft.planning.bounds import bounded
from undercroft.planning.estimate import MOST_MS
from undercroft.planning.figures import BAND
from undercroft.planning.gpu import SelfHosted
from undercroft.planning.instances import CLOUDS, Architecture, Recommendation, recommend_instance
from undercroft.planning.own_prices import NONE, OwnPrices
from undercroft.planning.scenario import Autoscaler, Clients, Provider, Routing, Scenario, Window, service_times
from undercroft.planning.verification.verify import LOADS, Course


class PlanRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workload, as `undercroft plan estimate` and `plan compare` take it. Times in milliseconds, sizes in bytes."""

    daily_requests: float | None = None
    """Needed, unless `from_telemetry`."""
    avg_ms: float | None = None
    """Needed, unless `from_telemetry`."""
    cpu_fraction: float | None = None
    peak_factor: float | None = None
    curve: tuple[float, ...] | None = None
    service_scv: float | None = None
    p95_target_ms: float | None = None
    tokens_in: float | None = None
    tokens_out: float | None = None
    model: str | None = None
    retention_days: float | None = None
    cores_per_replica: int | None = None
    concurrency_per_replica: int | None = None
    vectors: float | None = None
    vector_dimensions: int | None = None
    response_bytes: float | None = None
    provider_requests_per_minute: float | None = None
    scale_up_s: float | None = None
    from_telemetry: bool = False
    """What is not given comes from the calls of the last `days` days."""
    days: float = 28.0
    self_hosted: SelfHosted | None = None
    prices: OwnPrices = NONE
    """In place of a prices.toml."""
    regions: dict[str, str] = {}
    """By cloud; of the comparison only."""


class InstancesRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an instance is needed for, and has to have."""

    workload: str = "api"
    provider: str | None = None
    """None: of each cloud."""
    region: str | None = None
    vcpu: float | None = None
    memory_gib: float | None = None
    gpu_memory_gib: float | None = None
    arch: Architecture | None = None
    spot: bool = False

    def recommended(self) -> list[Recommendation]:
        """The instance of each cloud that is asked for. Raises OutOfRange and InvalidRequest."""
        clouds = CLOUDS if self.provider is None else (self.provider,)
        return [
            recommend_instance(
                self.workload,
                provider=cloud,
                region=self.region,
                vcpu=self.vcpu,
                memory_gib=self.memory_gib,
                gpu_memory_gib=self.gpu_memory_gib,
                arch=self.arch,
                spot=self.spot,
            )
            for cloud in clouds
        ]


class SimulationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scenario with its service times as mean and spread."""

    rate: float
    avg_ms: float
    scv: float = 1.0
    duration_s: float = 3600.0
    replicas: int = 1
    slots: int = 1
    routing: Routing = "shared"
    bursts: tuple[Window, ...] = ()
    clients: Clients = Clients()
    provider: Provider = Provider()
    autoscaler: Autoscaler = Autoscaler()
    steps: int = 24
    seed: int = 1

    def scenario(self) -> Scenario:
        """Raises OutOfRange for what cannot be simulated."""
        mean_ms = bounded("avg_ms", self.avg_ms, least=0.001, most=MOST_MS, unit="ms")
        return Scenario(
            rate=self.rate,
            duration_s=self.duration_s,
            services=service_times(mean_ms / 1000, bounded("scv", self.scv, least=0, most=100)),
            replicas=self.replicas,
            slots=self.slots,
            routing=self.routing,
            bursts=self.bursts,
            clients=self.clients,
            provider=self.provider,
            autoscaler=self.autoscaler,
            steps=self.steps,
            seed=self.seed,
        ).check()


class VerifyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verification of this machine, with a server that is started for it."""

    workload: Literal["gateway", "local", "both"] = "both"
    duration_s: float = 60.0
    runs: int = 3
    loads: tuple[float, ...] = LOADS
    band: float = BAND
    seed: int = 1

    def course(self) -> Course:
        """Raises OutOfRange."""
        return Course(duration_s=self.duration_s, runs=self.runs, loads=self.loads, band=self.band).check()

    def options(self) -> list[str]:
        """Of `undercroft plan verify`."""
        given = {"workload": self.workload, "duration": self.duration_s, "runs": self.runs, "band": self.band}
        found = [f"--{name}={value}" for name, value in given.items()]
        return [*found, f"--seed={self.seed}", *(f"--load={each}" for each in self.loads)]
