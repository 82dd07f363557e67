"""`vercel`: the application as one Python function, behind every path."""

import json
from collections.abc import Iterator
from typing import Final

from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets import function
from undercroft.deploy.topology import Topology

EXTRAS: Final = ("postgres",)
COMPILED: Final = "315532800"
"""Any moment will do. With one, pip has compiled modules checked by their sources' contents and not by their times,
which Vercel's packaging replaces: each cold start would compile everything anew, as nothing can be written there."""


class Vercel:
    name = "vercel"
    summary = "a Python function on Vercel"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from function.problems(topology)

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        return Bundle(
            {
                "api/index.py": made + _entry(topology),
                "vercel.json": _configuration(topology),
                "requirements.txt": f"{made}{topology.package.requirement(*EXTRAS)}\n",
                "undercroft.toml": function.settings_file(topology, target=self.name),
                ".python-version": "3.12\n",
                ".vercelignore": made + _IGNORED,
                "README.md": _readme(topology),
            }
        )


def _entry(topology: Topology) -> str:
    return f'''\
"""Vercel's way in: `app` is the ASGI application that answers every path, POST /api/generate among them."""

from pathlib import Path

from undercroft.api.serverless import vercel_app

app = vercel_app(Path(__file__).resolve().parents[1], timeout_s={topology.function.timeout_s})
'''


_IGNORED: Final = """\
.env
.env.*
.git
.undercroft
.undercroft-deploy.json
.venv
venv
"""


def _configuration(topology: Topology) -> str:
    described = {
        "$schema": "https://openapi.vercel.sh/vercel.json",
        "framework": None,
        "build": {"env": {"SOURCE_DATE_EPOCH": COMPILED}},
        "functions": {
            "api/index.py": {
                "memory": topology.function.memory_mib,
                "maxDuration": topology.function.timeout_s,
                "excludeFiles": "{vendor,.undercroft}/**",
            }
        },
        "rewrites": [{"source": "/(.*)", "destination": "/api/index"}],
    }
    return json.dumps(described, indent=2) + "\n"


def _readme(topology: Topology) -> str:
    added = "\n".join(f"    vercel env add {variable} production" for variable in function.secrets_of(topology))
    return f"""\
# {topology.name} on Vercel

{made_by("vercel", comment="").strip()}

`api/index.py` is the function, `vercel.json` sends every path to it. Once, in this folder:

    vercel link
{added}

(`vercel env add` asks for the value. Without `OPENAI_API_KEY`, name another provider's models under `[[models]]`.)

    DATABASE_URL=postgresql://… undercroft migrate
    vercel deploy --prod

Then:

    curl https://YOUR-PROJECT.vercel.app/health
    curl https://YOUR-PROJECT.vercel.app/api/generate \\
        -H "Authorization: Bearer $UNDERCROFT_MASTER_KEY" --json '{{"prompt": "Hello"}}'

{function.what_it_is(topology)}"""
