"""The part of the compose file's format that is checked: a schema as types, with every key that a service may have."""

from typing import Any

import msgspec


class Build(msgspec.Struct, frozen=True):
    """How a service's image is built."""

    context: str = "."
    dockerfile: str = "Dockerfile"


class Healthcheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is asked whether it is well."""

    test: list[str] | str = ""
    interval: str = ""
    timeout: str = ""
    retries: int | None = None
    start_period: str = ""
    start_interval: str = ""
    disable: bool = False


class Limits(msgspec.Struct, frozen=True):
    """What a service gets no more of."""

    cpus: str | float | None = None
    memory: str | None = None


class Resources(msgspec.Struct, frozen=True):
    limits: Limits = Limits()
    reservations: Any = None


class Deploy(msgspec.Struct, frozen=True):
    replicas: int | None = None
    resources: Resources = Resources()


class Condition(msgspec.Struct, frozen=True):
    condition: str = "service_started"


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One service. What is not looked into is `Any`."""

    image: str | None = None
    build: Build | str | None = None
    command: Any = None
    entrypoint: Any = None
    environment: dict[str, str | int | float | bool | None] | list[str] = {}
    env_file: Any = None
    ports: list[Any] = []
    expose: list[Any] = []
    volumes: list[Any] = []
    depends_on: dict[str, Condition] | list[str] = {}
    healthcheck: Healthcheck | None = None
    deploy: Deploy = Deploy()
    scale: int | None = None
    user: str | int | None = None
    privileged: bool = False
    network_mode: str | None = None
    restart: str | None = None
    profiles: list[str] = []
    mem_limit: Any = None
    cpus: Any = None
    annotations: Any = None
    attach: Any = None
    blkio_config: Any = None
    cap_add: Any = None
    cap_drop: Any = None
    cgroup: Any = None
    cgroup_parent: Any = None
    configs: Any = None
    container_name: Any = None
    cpu_count: Any = None
    cpu_percent: Any = None
    cpu_period: Any = None
    cpu_quota: Any = None
    cpu_shares: Any = None
    cpuset: Any = None
    credential_spec: Any = None
    develop: Any = None
    device_cgroup_rules: Any = None
    devices: Any = None
    dns: Any = None
    dns_opt: Any = None
    dns_search: Any = None
    domainname: Any = None
    extends: Any = None
    external_links: Any = None
    extra_hosts: Any = None
    gpus: Any = None
    group_add: Any = None
    hostname: Any = None
    init: Any = None
    ipc: Any = None
    isolation: Any = None
    labels: Any = None
    links: Any = None
    logging: Any = None
    mac_address: Any = None
    mem_reservation: Any = None
    mem_swappiness: Any = None
    memswap_limit: Any = None
    networks: Any = None
    oom_kill_disable: Any = None
    oom_score_adj: Any = None
    pid: Any = None
    pids_limit: Any = None
    platform: Any = None
    post_start: Any = None
    pre_stop: Any = None
    provider: Any = None
    pull_policy: Any = None
    read_only: Any = None
    runtime: Any = None
    secrets: Any = None
    security_opt: Any = None
    shm_size: Any = None
    stdin_open: Any = None
    stop_grace_period: Any = None
    stop_signal: Any = None
    storage_opt: Any = None
    sysctls: Any = None
    tmpfs: Any = None
    tty: Any = None
    ulimits: Any = None
    userns_mode: Any = None
    uts: Any = None
    volumes_from: Any = None
    working_dir: Any = None

    @property
    def variables(self) -> dict[str, str]:
        """The environment, however it is written."""
        if isinstance(self.environment, list):
            return {name: value for name, _, value in (each.partition("=") for each in self.environment)}
        return {name: "" if value is None else str(value) for name, value in self.environment.items()}

    @property
    def needs(self) -> dict[str, str]:
        """The services that it waits for, each with the condition."""
        if isinstance(self.depends_on, list):
            return dict.fromkeys(self.depends_on, "service_started")
        return {name: each.condition for name, each in self.depends_on.items()}


class ComposeFile(msgspec.Struct, frozen=True):
    """The whole file."""

    services: dict[str, Service]
    volumes: dict[str, Any] = {}
    version: Any = None
