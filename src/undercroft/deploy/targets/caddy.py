"""The Caddyfile: a name with HTTPS in front of what listens without it, in containers and on a bare machine."""

from dataclasses import dataclass
from typing import Final

from undercroft.deploy.topology import Topology

GATEWAY_PATHS: Final = ("/v1/*", "/api/generate", "/api/v1/jobs", "/api/v1/jobs/*", "/api/v1/feedback", "/health*")
"""What the role gateway answers; the role console answers everything else."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Where requests go: everything to one address, or what is managed and looked at to another."""

    gateway: str
    console: str | None = None


def caddyfile(topology: Topology, upstreams: Upstreams) -> str:
    """Text of the Caddyfile, but for its first line. Certificates come from Let's Encrypt or ZeroSSL, and for the name
    `localhost` from an authority of Caddy's own.
    """
    routed = (
        f"\t@gateway path {' '.join(GATEWAY_PATHS)}\n"
        "\thandle @gateway {\n"
        f"{_proxy(upstreams.gateway, indent=2)}"
        "\t}\n"
        "\thandle {\n"
        f"{_proxy(upstreams.console, indent=2)}"
        "\t}\n"
        if upstreams.console is not None
        else _proxy(upstreams.gateway, indent=1)
    )
    return (
        f"{topology.domain} {{\n"
        "\t# Prometheus asks inside, not through the front door.\n"
        "\trespond /metrics 404\n"
        "\theader {\n"
        '\t\tStrict-Transport-Security "max-age=31536000"\n'
        "\t\t-Server\n"
        "\t}\n"
        f"{routed}"
        "}\n"
    )


def _proxy(address: str, *, indent: int) -> str:
    tabs = "\t" * indent
    return (
        f"{tabs}reverse_proxy {address} {{\n"
        f"{tabs}\t# Streams go on as they come, and may be quiet for as long as a model thinks.\n"
        f"{tabs}\tflush_interval -1\n"
        f"{tabs}\ttransport http {{\n"
        f"{tabs}\t\tresponse_header_timeout 10m\n"
        f"{tabs}\t}}\n"
        f"{tabs}\t# While it starts again, callers wait instead of seeing an error.\n"
        f"{tabs}\tlb_try_duration 5s\n"
        f"{tabs}}}\n"
    )
