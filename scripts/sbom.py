"""Writes the list of parts (CycloneDX 1.6) of what `requirements/run.txt` locks: name, version, hashes.

usage: python scripts/sbom.py

It is made from the lock alone, so that two runs give the same bytes; the wheel carries it.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "requirements" / "run.txt"
SBOM: Final = ROOT / "requirements" / "sbom.cdx.json"
_PIN: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)(?P<marker>\s*;[^\\]*)?")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked(text: str) -> list[tuple[str, str, list[str]]]:
    """Name, version and SHA-256 of every package in a lock, in its order."""
    found: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        if pin := _PIN.match(line):
            found.append((re.sub(r"[-_.]+", "-", pin["name"]).lower(), pin["version"], []))
        if hashes := _HASH.findall(line):
            found[-1][2].extend(hashes)
    return found


def document(text: str) -> dict[str, Any]:
    """The list of parts of a lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    direct = {re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0].lower() for each in project["dependencies"]}
    parts = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "scope": "required" if name in direct else "optional",
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": f"https://pypi.org/project/{name}/{version}/",
                    "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
                }
            ],
        }
        for name, version, hashes in locked(text)
    ]
    licensed = {"license": {"id": project["license"]}}
    itself = {"type": "application", "bom-ref": "undercroft", "name": project["name"], "licenses": [licensed]}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": itself},
        "components": parts,
        "dependencies": [{"ref": "undercroft", "dependsOn": sorted(str(part["bom-ref"]) for part in parts)}],
    }


def written(text: str) -> str:
    """As it stands in the file."""
    return json.dumps(document(text), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    SBOM.write_text(written(LOCK.read_text("utf-8")), "utf-8")
