"""Everything that `undercroft.toml` may say; its sections are in the files beside, each under its subject."""

from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from undercroft.settings.answers import Cache, Responses
from undercroft.settings.deployment import Deploy
from undercroft.settings.events import Events
from undercroft.settings.guards import GuardRule, Guards, Moderation, ModerationCategory, ModerationTerms
from undercroft.settings.jobs import Delivery, JobQueue, Jobs, JobSchedule
from undercroft.settings.ledger import Ledger, LimitRule, Limits
from undercroft.settings.providers import LOCAL_MODELS, PROVIDERS, Deployment, Egress, Local, Model, Price, Reliability
from undercroft.settings.releases import Releases
from undercroft.settings.retention import Retention
from undercroft.settings.section import Section
from undercroft.settings.server import ROLES, Access, Server
from undercroft.settings.slo import Slo
from undercroft.settings.storage import Database, Files, FileStore, Redis, Vectors, VectorStoreName
from undercroft.settings.telemetry import Telemetry

__all__ = [
    "LOCAL_MODELS",
    "PROVIDERS",
    "ROLES",
    "Cache",
    "Database",
    "Deployment",
    "Egress",
    "GuardRule",
    "JobQueue",
    "JobSchedule",
    "Jobs",
    "Ledger",
    "LimitRule",
    "Limits",
    "Model",
    "ModerationCategory",
    "ModerationTerms",
    "Price",
    "Reliability",
    "Responses",
    "Server",
    "Settings",
    "Telemetry",
    "VectorStoreName",
    "Vectors",
]


class Settings(Section):
    """Everything the operator wrote, over the defaults."""

    data_dir: Path = Path(".undercroft")
    """Embedded state: database, spool, keys."""
    encryption_key: SecretStr | None = None
    """Fernet keys for stored secrets, comma-separated: the first encrypts, all decrypt. (ENCRYPTION_KEY)"""
    server: Server = Server.model_construct()
    database: Database = Database.model_construct()
    models: tuple[Model, ...] = ()
    reliability: Reliability = Reliability.model_construct()
    local: Local = Local.model_construct()
    moderation: Moderation = Moderation.model_construct()
    guards: Guards = Guards.model_construct()
    access: Access = Access.model_construct()
    ledger: Ledger = Ledger.model_construct()
    responses: Responses = Responses.model_construct()
    redis: Redis = Redis.model_construct()
    events: Events = Events.model_construct()
    files: Files = Files.model_construct()
    jobs: Jobs = Jobs.model_construct()
    vectors: Vectors = Vectors.model_construct()
    telemetry: Telemetry = Telemetry.model_construct()
    egress: Egress = Egress.model_construct()
    limits: Limits = Limits.model_construct()
    cache: Cache = Cache.model_construct()
    slo: Slo = Slo.model_construct()
    releases: Releases = Releases.model_construct()
    retention: Retention = Retention.model_construct()
    deploy: Deploy = Deploy.model_construct()
    provider_keys: dict[str, SecretStr] = {}
    """Keys by provider name, from each provider's usual variable (OPENAI_API_KEY …)."""

    @property
    def job_delivery(self) -> Delivery:
        """How workers learn of jobs."""
        if self.jobs.delivery is not None:
            return self.jobs.delivery
        if self.jobs.broker_url is not None:
            return "celery"
        return "postgres" if self.database.is_postgresql else "inline"

    @property
    def file_store(self) -> FileStore:
        """Where the bytes of files are."""
        return self.files.store or ("database" if self.database.is_postgresql else "directory")

    @property
    def cache_store(self) -> Literal["memory", "database", "redis"]:
        """Where answers are kept. One that is removed must be gone for every process: memory is for one alone."""
        if self.cache.store is not None:
            return self.cache.store
        if self.redis.url is not None:
            return "redis"
        return "memory" if self.is_one_process and not self.database.is_postgresql else "database"

    @property
    def is_one_process(self) -> bool:
        """Whether the process that answers calls is the one that is managed, and the only one of this server."""
        return self.server.workers == 1 and {"gateway", "console"} <= self.server.roles

    @property
    def runs_jobs(self) -> bool:
        """Whether a process with these settings runs jobs. With Celery those do that are nothing but workers."""
        if self.job_delivery == "celery":
            return self.server.roles == {"worker"}
        return "worker" in self.server.roles
