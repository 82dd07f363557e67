"""Topologies as people write them, and bundles as they were reviewed."""

from pathlib import Path

from tests.support import golden
from undercroft.deploy.target import find
from undercroft.deploy.topology import Options, Topology, placeholders, topology
from undercroft.settings.sources import load

VERSION = "1.2.3"
IN_TWO_REGIONS = """
[deploy]
regions = ["us-east-1", "eu-west-1"]
[[models]]
name = "chat"
deployments = [{ provider = "openai" }]
"""
"""A model that needs a key, in two places."""


def described(folder: Path, text: str = "", options: Options | None = None) -> Topology:
    """What `undercroft.toml` with this text describes, on a machine that has none of the secrets."""
    (folder / "undercroft.toml").write_text(text, "utf-8")
    loaded = load(config=None, environment=placeholders(text, {}), directory=folder)
    return topology(loaded, version=VERSION, settings_file=text or None, options=options)


def rendered(target: str, topology: Topology) -> dict[str, str]:
    """The files by path."""
    return dict(find(target).render(topology).files)


def compare(name: str, files: dict[str, str]) -> None:
    """Fails where the files are not those in `tests/golden/deploy/<name>`. Locks are left out: they have their own."""
    shown = {path: text for path, text in files.items() if "requirements" not in path}
    folder = golden.FOLDER / "deploy" / name
    for path, text in shown.items():
        golden.compare_file(folder / path, text)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == shown.keys()
