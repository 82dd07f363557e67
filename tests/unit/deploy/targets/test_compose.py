"""The stack on one host: as it was reviewed, and what must hold whatever is described."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy import compare, described, rendered
from undercroft.deploy.target import find
from undercroft.deploy.topology import Options


def stack(folder: Path, text: str = "", options: Options | None = None) -> Any:
    return yaml.safe_load(rendered("compose", described(folder, text, options))["docker-compose.yml"])


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("compose", rendered("compose", described(tmp_path)))


def test_five_services_start_and_only_the_api_is_reached_from_outside(tmp_path: Path) -> None:
    found = stack(tmp_path)
    services = {name: found["services"][name] for name in running(found)}

    assert services.keys() == {"api", "worker", "db", "redis", "vector_db"}
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "api": ["127.0.0.1:8000:8000"]
    }


def test_api_and_worker_are_told_the_same(tmp_path: Path) -> None:
    services = stack(tmp_path)["services"]

    assert services["api"]["environment"] == services["worker"]["environment"]
    assert services["api"]["image"] == services["worker"]["image"]


def test_what_must_last_is_a_volume(tmp_path: Path) -> None:
    found = stack(tmp_path)

    assert found["volumes"].keys() >= {"undercroft_data", "postgres_data", "redis_data", "qdrant_data"}
    assert "--appendonly" in found["services"]["redis"]["command"]
    assert "noeviction" in found["services"]["redis"]["command"]


def test_every_service_has_limits_comes_back_and_says_how_it_is(tmp_path: Path) -> None:
    for name, service in stack(tmp_path)["services"].items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert service["restart"] == "unless-stopped", name
        assert name == "api" or "healthcheck" in service, name


def test_no_secret_stands_in_a_file(tmp_path: Path) -> None:
    environment = stack(tmp_path)["x-environment"]

    assert environment["UNDERCROFT_MASTER_KEY"] == "${UNDERCROFT_MASTER_KEY:?is missing in .env}"
    assert "${POSTGRES_PASSWORD:?" in environment["DATABASE_URL"]
    assert environment["OPENAI_API_KEY"] == "${OPENAI_API_KEY:-}"
    assert [secret.variable for secret in find("compose").render(described(tmp_path)).env] == [
        "UNDERCROFT_MASTER_KEY",
        "ENCRYPTION_KEY",
        "POSTGRES_PASSWORD",
        "METRICS_TOKEN",
        "GRAFANA_PASSWORD",
    ]


def test_ports_are_published_on_loopback_when_that_is_asked_for(tmp_path: Path) -> None:
    services = stack(tmp_path, "[deploy.ports]\nredis = 16379\n", Options(publish_ports=True))["services"]

    assert services["redis"]["ports"] == ["127.0.0.1:16379:6379"]
    assert services["vector_db"]["ports"] == ["127.0.0.1:6333:6333"]
    assert "ports" not in services["db"]


@pytest.mark.parametrize(("options", "built"), [(Options(), "true"), (Options(with_model=False), "false")])
def test_the_bundled_model_is_built_in_unless_it_is_left_out(options: Options, built: str, tmp_path: Path) -> None:
    files = rendered("compose", described(tmp_path, options=options))

    assert yaml.safe_load(files["docker-compose.yml"])["services"]["api"]["build"]["args"]["WITH_MODEL"] == built
    assert f"ARG WITH_MODEL={built}\n" in files["Dockerfile"]


def test_an_external_database_is_not_started(tmp_path: Path) -> None:
    found = stack(tmp_path, '[deploy]\ndatabase = "external"\n')

    assert "db" not in found["services"]
    assert found["x-environment"]["DATABASE_URL"] == "${DATABASE_URL:?is missing in .env}"


def test_with_sqlite_there_is_one_container_and_no_worker(tmp_path: Path) -> None:
    text = '[deploy]\ndatabase = "sqlite"\nredis = false\nqdrant = false\n[deploy.api]\nreplicas = 1\n'
    found = stack(tmp_path, text)

    assert running(found) == {"api"}
    assert "depends_on" not in found["services"]["api"]
    assert "migrate" not in rendered("compose", described(tmp_path, text))["README.md"]


def test_the_settings_file_goes_along_and_is_mounted(tmp_path: Path) -> None:
    text = '[telemetry]\nlog_level = "debug"\n'
    files = rendered("compose", described(tmp_path, text))
    api = yaml.safe_load(files["docker-compose.yml"])["services"]["api"]

    assert files["config/undercroft.toml"].endswith(text)
    assert "./config/undercroft.toml:/etc/undercroft/undercroft.toml:ro" in api["volumes"]
    assert api["environment"]["UNDERCROFT_CONFIG"] == "/etc/undercroft/undercroft.toml"


def test_a_card_takes_the_gpu_image_and_is_reserved(tmp_path: Path) -> None:
    services = stack(tmp_path, "[deploy.gpu]\ncount = 2\n")["services"]

    assert services["api"]["build"]["dockerfile"] == "Dockerfile.gpu"
    assert services["api"]["image"].startswith("myregistry/ai-api-gpu:")
    assert services["api"]["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": 2, "capabilities": ["gpu"]}
    ]
    assert services["worker"]["build"] == {"context": "."}


def running(found: Any) -> set[str]:
    """The services that `docker compose up` starts."""
    return {name for name, service in found["services"].items() if "profiles" not in service}


def test_what_a_profile_starts_stays_out_until_it_is_asked_for(tmp_path: Path) -> None:
    found = stack(tmp_path)
    profiles = {name: service["profiles"] for name, service in found["services"].items() if "profiles" in service}

    assert profiles == {
        "proxy": ["proxy"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
        "otel_collector": ["monitoring"],
        "vllm": ["gpu"],
    }
    assert running(found) == {"api", "worker", "db", "redis", "vector_db"}


def test_only_the_proxy_is_open_to_every_network(tmp_path: Path) -> None:
    for name, service in stack(tmp_path)["services"].items():
        for port in service.get("ports", ()):
            assert name == "proxy" or port.startswith("127.0.0.1:"), name


def test_what_is_mounted_is_rendered(tmp_path: Path) -> None:
    files = rendered("compose", described(tmp_path))
    for name, service in yaml.safe_load(files["docker-compose.yml"])["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert any(path.startswith(source[2:]) for path in files), (name, source)


def test_prometheus_asks_every_server_with_the_token_of_env(tmp_path: Path) -> None:
    files = rendered("compose", described(tmp_path, options=Options(layout="microservices")))
    scrape, _ = yaml.safe_load(files["monitoring/prometheus/prometheus.yml"])["scrape_configs"]
    found = yaml.safe_load(files["docker-compose.yml"])

    assert scrape["static_configs"] == [{"targets": ["api:8000", "console:8000"]}]
    assert scrape["authorization"] == {"credentials_file": "/run/secrets/metrics-token"}
    assert found["secrets"] == {"metrics-token": {"environment": "METRICS_TOKEN"}}
    assert found["x-environment"]["UNDERCROFT_TELEMETRY__METRICS_TOKEN"] == "${METRICS_TOKEN:-}"
    assert found["services"]["prometheus"]["secrets"] == ["metrics-token"]


def test_one_container_does_all_in_a_monolith_and_is_told_of_no_broker(tmp_path: Path) -> None:
    found = stack(tmp_path, options=Options(layout="monolith"))

    assert running(found) == {"api", "db", "redis", "vector_db"}
    assert "command" not in found["services"]["api"]
    assert "CELERY_BROKER_URL" not in found["x-environment"]


def test_each_role_has_a_container_in_microservices(tmp_path: Path) -> None:
    files = rendered("compose", described(tmp_path, options=Options(layout="microservices")))
    services = yaml.safe_load(files["docker-compose.yml"])["services"]

    assert services["api"]["command"] == ["undercroft", "serve", "--role", "gateway"]
    assert services["console"]["command"] == ["undercroft", "serve", "--role", "console"]
    assert services["worker"]["command"][:2] == ["undercroft", "worker"]
    assert len({services[name]["image"] for name in ("api", "console", "worker")}) == 1
    assert "reverse_proxy console:8000" in files["proxy/Caddyfile"]


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ('[deploy]\ndatabase = "sqlite"\n[deploy.api]\nreplicas = 1\n', "deploy.database"),
        ('[deploy.build]\ncommand = ["uvicorn", "main:app"]\n', "deploy.build.command"),
    ],
)
def test_microservices_take_a_database_and_the_command_that_has_roles(text: str, setting: str, tmp_path: Path) -> None:
    topology = described(tmp_path, text, Options(layout="microservices"))

    assert [problem.split()[0] for problem in find("compose").problems(topology)] == [setting]


def test_with_cards_of_its_own_the_api_needs_no_vllm_beside_it(tmp_path: Path) -> None:
    assert "vllm" not in stack(tmp_path, "[deploy.gpu]\ncount = 1\n")["services"]
