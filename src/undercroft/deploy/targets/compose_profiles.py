"""What the stack on one host can have besides: services that start when their profile is asked for."""

from collections.abc import Mapping
from typing import Any, Final

from undercroft.deploy.bundle import GeneratedSecret, made_by
from undercroft.deploy.targets import caddy
from undercroft.deploy.targets.monitoring import grafana, prometheus
from undercroft.deploy.topology import Topology
from undercroft.deploy.yaml import Alias, Noted, document

METRICS_TOKEN: Final = GeneratedSecret("METRICS_TOKEN", "token", "Lets Prometheus, and nobody else, read the metrics.")
GRAFANA_PASSWORD: Final = GeneratedSecret("GRAFANA_PASSWORD", "token", "Of Grafana's user admin.")
SECRETS: Final = (METRICS_TOKEN, GRAFANA_PASSWORD)
METRICS_SECRET: Final = "metrics-token"  # noqa: S105 - a name
COLLECTOR: Final = "otel_collector"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - of a container that publishes nothing
VLLM_MEMORY_MIB: Final = 24 * 1024

_KEPT: Final[dict[str, Any]] = {"restart": "unless-stopped", "logging": Alias("logging")}
_CONFINED: Final[dict[str, Any]] = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def services(topology: Topology) -> dict[str, Any]:
    """By name, each with its profile."""
    found: dict[str, Any] = {
        "proxy": _proxy(topology),
        "prometheus": _prometheus(topology),
        "grafana": _grafana(topology),
        COLLECTOR: _collector(topology),
    }
    if not topology.gpu.count:
        found["vllm"] = _vllm(topology)
    return found


def volumes(topology: Topology) -> dict[str, Any]:
    """What they keep."""
    kept: dict[str, Any] = {"caddy_data": Noted("Certificates and their keys.", {}), "prometheus_data": {}}
    kept["grafana_data"] = {}
    if not topology.gpu.count:
        kept["models_data"] = Noted("What vLLM has downloaded.", {})
    return kept


def secrets() -> dict[str, Any]:
    """The file that Prometheus reads its token from."""
    return {METRICS_SECRET: {"environment": METRICS_TOKEN.variable}}


def files(topology: Topology, *, target: str) -> Mapping[str, str]:
    """What they are told, by path."""
    made = made_by(target)
    is_split = topology.layout == "microservices"
    upstreams = caddy.Upstreams("api:8000", "console:8000" if is_split else None)
    found = {
        "proxy/Caddyfile": made + caddy.caddyfile(topology, upstreams),
        "monitoring/prometheus/prometheus.yml": made + document(_scraped(topology)),
        "monitoring/collector.yml": made + document(_pipelines()),
    }
    rules = prometheus.rule_files(topology, target=target)
    found |= {f"monitoring/prometheus/{path}": text for path, text in rules.items()}
    shown = grafana.provisioned_files(topology, target=target, prometheus_url="http://prometheus:9090")
    found |= {f"monitoring/grafana/{path}": text for path, text in shown.items()}
    return found


def _scraped(topology: Topology) -> dict[str, Any]:
    targets = ["api:8000", *(["console:8000"] if topology.layout == "microservices" else [])]
    own = prometheus.configuration(targets, token_file=f"/run/secrets/{METRICS_SECRET}")
    own["scrape_configs"].append({"job_name": "otel-collector", "static_configs": [{"targets": [f"{COLLECTOR}:8888"]}]})
    return own


def _pipelines() -> dict[str, Any]:
    exporters = Noted("Traces are told to its log: write the address of what keeps them here, as `otlp`.", ["debug"])
    return {
        "receivers": {
            "otlp": {
                "protocols": {"http": {"endpoint": f"{EVERYWHERE}:4318"}, "grpc": {"endpoint": f"{EVERYWHERE}:4317"}}
            }
        },
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 75, "spike_limit_percentage": 20},
            "batch": {},
        },
        "exporters": {"debug": {"verbosity": "basic"}},
        "service": {
            "telemetry": {
                "metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": EVERYWHERE, "port": 8888}}}}]}
            },
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["memory_limiter", "batch"],
                    "exporters": exporters,
                }
            },
        },
    }


def _proxy(topology: Topology) -> dict[str, Any]:
    return {
        "image": topology.images.caddy,
        "profiles": ["proxy"],
        "ports": Noted(
            "The front door: TLS on 443 (HTTP/3 by UDP), and on 80 what leads there and proves the name.",
            ["80:80", "443:443", "443:443/udp"],
        ),
        "volumes": ["./proxy/Caddyfile:/etc/caddy/Caddyfile:ro", "caddy_data:/data"],
        "depends_on": {"api": {"condition": "service_started"}},
        "read_only": True,
        "tmpfs": ["/config", "/tmp"],  # noqa: S108 - folders of the container's own
        "cap_drop": ["ALL"],
        "cap_add": ["NET_BIND_SERVICE"],
        "security_opt": ["no-new-privileges:true"],
        "healthcheck": {
            "test": ["CMD", "wget", "--quiet", "--output-document=/dev/null", "http://127.0.0.1:2019/config/"],
            "interval": "10s",
            "timeout": "3s",
            "retries": 3,
        },
        "stop_grace_period": "40s",
        **_KEPT,
        **limits(cpu_milli=1000, memory_mib=256),
    }


def _prometheus(topology: Topology) -> dict[str, Any]:
    return {
        "image": topology.images.prometheus,
        "profiles": ["monitoring"],
        "command": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=30d",
        ],
        "ports": ["127.0.0.1:9090:9090"],
        "volumes": ["./monitoring/prometheus:/etc/prometheus:ro", "prometheus_data:/prometheus"],
        "secrets": [METRICS_SECRET],
        **_CONFINED,
        "healthcheck": _asked("http://127.0.0.1:9090/-/ready"),
        **_KEPT,
        **limits(cpu_milli=1000, memory_mib=1024),
    }


def _grafana(topology: Topology) -> dict[str, Any]:
    return {
        "image": topology.images.grafana,
        "profiles": ["monitoring"],
        "environment": {
            "GF_SECURITY_ADMIN_PASSWORD": "${GRAFANA_PASSWORD:?is missing in .env}",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        },
        "ports": ["127.0.0.1:3000:3000"],
        "volumes": [
            "./monitoring/grafana/provisioning:/etc/grafana/provisioning:ro",
            "./monitoring/grafana/dashboards:/var/lib/grafana/dashboards/undercroft:ro",
            "grafana_data:/var/lib/grafana",
        ],
        **_CONFINED,
        "healthcheck": _asked("http://127.0.0.1:3000/api/health"),
        **_KEPT,
        **limits(cpu_milli=1000, memory_mib=512),
    }


def _collector(topology: Topology) -> dict[str, Any]:
    return {
        "image": topology.images.otel_collector,
        "profiles": ["monitoring"],
        "volumes": ["./monitoring/collector.yml:/etc/otelcol/config.yaml:ro"],
        "read_only": True,
        **_CONFINED,
        "healthcheck": Noted("Its image has nothing but the collector.", {"disable": True}),
        **_KEPT,
        **limits(cpu_milli=500, memory_mib=256),
    }


def _vllm(topology: Topology) -> dict[str, Any]:
    ask = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"
    return {
        "image": topology.images.vllm,
        "profiles": ["gpu"],
        "command": ["--model", topology.gpu.model, "--host", "0.0.0.0", "--port", "8000"],  # noqa: S104 - in the stack
        "environment": {"HF_TOKEN": "${HF_TOKEN:-}"},
        "volumes": ["models_data:/root/.cache/huggingface"],
        **_CONFINED,
        "shm_size": "2gb",
        "healthcheck": {
            "test": ["CMD", "python3", "-c", ask],
            "interval": "10s",
            "timeout": "3s",
            "start_period": "600s",
            "retries": 3,
        },
        **_KEPT,
        **limits(cpu_milli=8000, memory_mib=max(topology.gpu.memory_limit_mib, VLLM_MEMORY_MIB), gpus=1),
    }


def _asked(url: str) -> dict[str, Any]:
    return {
        "test": ["CMD", "wget", "--quiet", "--output-document=/dev/null", url],
        "interval": "10s",
        "timeout": "3s",
        "retries": 6,
    }


def limits(*, cpu_milli: int, memory_mib: int, gpus: int = 0) -> dict[str, Any]:
    """What a service gets no more of, and the cards that are its own."""
    resources: dict[str, Any] = {"limits": {"cpus": f"{cpu_milli / 1000:g}", "memory": f"{memory_mib}M"}}
    if gpus:
        resources["reservations"] = {"devices": [{"driver": "nvidia", "count": gpus, "capabilities": ["gpu"]}]}
    return {"deploy": {"resources": resources}}
