"""What a result was measured on."""

import os
import platform
import sys
from typing import Any


def this_machine() -> dict[str, Any]:
    """Its cores, its system, the Python that everything of Python's ran on and, where it came with the system, whose
    that is: the builds of distributions take about a tenth less time than what was compiled with no further options."""
    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "python_of": _distribution() if sys.base_prefix == "/usr" else "",
    }


def described(machine: dict[str, Any]) -> str:
    """The same for people."""
    whose = f" of {machine['python_of']}" if machine.get("python_of") else ""
    return f"on {machine['cores']} cores ({machine['system']}, Python {machine['python']}{whose})"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return ""
