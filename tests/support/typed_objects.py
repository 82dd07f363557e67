"""Objects held to their makers' types by TypeScript's compiler, to which a field too many is an error, too."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

LIMIT_S = 300
PACKAGES = (
    "typescript@5.9.3",
    "@kubernetes-models/argo-rollouts@2.0.0",
    "@kubernetes-models/keda@2.0.0",
    "@grafana/schema@13.2.3",
)
"""Types that were generated of the definitions which Argo Rollouts and KEDA install in a cluster, and Grafana's own."""
TYPES = {
    "Dashboard": "@grafana/schema",
    "Rollout": "@kubernetes-models/argo-rollouts/argoproj.io/v1alpha1/Rollout",
    "AnalysisTemplate": "@kubernetes-models/argo-rollouts/argoproj.io/v1alpha1/AnalysisTemplate",
    "ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
}
COMPILE = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022")


@cache
def compiler() -> Path | None:
    """The folder that it works in; None where it is not to be had."""
    if shutil.which("npm") is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="undercroft-types-"))
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--silent", *PACKAGES]
    installed = subprocess.run(command, cwd=folder, capture_output=True, timeout=LIMIT_S, check=False)
    return folder if installed.returncode == 0 else None


def complaints(folder: Path, objects: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """What the compiler says of objects and the types that they should be of; empty: nothing."""
    lines = []
    for number, (name, value) in enumerate(objects):
        imported = name if name == "Dashboard" else f"I{name}"
        lines += [
            f'import {{ type {imported} as Type{number} }} from "{TYPES[name]}";',
            f"const object{number}: Type{number} = {json.dumps(value, indent=1)};",
        ]
    source = folder / "objects.ts"
    source.write_text("\n".join(lines))
    command = [str(folder / "node_modules" / ".bin" / "tsc"), *COMPILE, str(source)]
    compiled = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return compiled.stdout
