"""Units of one machine: as they were reviewed, and what must hold whatever is described."""

from pathlib import Path

from tests.support.deploy import compare, described, rendered
from undercroft.deploy.target import find

EMBEDDED = '[deploy]\ndatabase = "sqlite"\nredis = false\nqdrant = false\n[deploy.api]\nreplicas = 1\n'


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("systemd", rendered("systemd", described(tmp_path)))


def test_no_unit_is_root_or_may_write_to_the_system(tmp_path: Path) -> None:
    units = {path: text for path, text in rendered("systemd", described(tmp_path)).items() if path.endswith(".service")}

    assert units.keys() == {"ai-api.service", "ai-api-worker.service", "ai-api-migrate.service"}
    for text in units.values():
        assert "User=ai-api\n" in text
        assert "ProtectSystem=strict\n" in text
        assert "CapabilityBoundingSet=\n" in text


def test_no_secret_stands_in_a_unit(tmp_path: Path) -> None:
    for path, text in rendered("systemd", described(tmp_path)).items():
        if path.endswith(".service"):
            assert "EnvironmentFile=/etc/ai-api/env\n" in text
            assert "MASTER_KEY" not in text


def test_with_sqlite_there_is_one_unit(tmp_path: Path) -> None:
    files = rendered("systemd", described(tmp_path, EMBEDDED))

    assert [path for path in files if path.endswith(".service")] == ["ai-api.service"]
    assert "migrate" not in files["ai-api.service"]
    assert "DATABASE_URL" not in files["README.md"]


def test_limits_are_the_described_ones(tmp_path: Path) -> None:
    text = '[deploy.api]\ncpu_limit = "1500m"\nmemory_limit = "2Gi"\n[deploy.ports]\napi = 9000\n'
    unit = rendered("systemd", described(tmp_path, text))["ai-api.service"]

    assert "CPUQuota=150%\n" in unit
    assert "MemoryMax=2048M\n" in unit
    assert "--port 9000\n" in unit


def test_what_is_about_images_is_refused(tmp_path: Path) -> None:
    topology = described(tmp_path, '[deploy.gpu]\ncount = 1\n[deploy.build]\ncode = ["api"]\n')
    said = list(find("systemd").problems(topology))

    assert [problem.split()[0] for problem in said] == ["deploy.gpu.count", "deploy.build.code"]
