"""`[server]` and `[access]`: where the server listens, what clients may ask of it, who may come in."""

from typing import Annotated, Final

from pydantic import Field, SecretStr

from undercroft.settings.section import Port, Positive, Seconds, Section, Text

ROLES: Final = ("gateway", "worker", "console")


class ServerLimits(Section):
    """What one client may ask of the server."""

    max_body_bytes: Positive = 20_000_000
    """Largest request body; a larger one is 413."""
    max_json_depth: Positive = 128
    """Deepest nesting of a JSON body; a deeper one is 400."""
    max_messages: Positive = 10_000
    """Most messages of one conversation; more are 400."""
    max_head_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] = 32_768
    """Largest request line and header fields together; larger ones are 431."""
    max_header_fields: Annotated[int, Field(ge=10, le=1000)] = 100
    """Most header fields of a request; more are 431."""
    max_connections: Positive = 10_000
    """Open client connections of one process; further ones are closed at once."""
    header_timeout_s: Seconds = 10.0
    """How long a client may take to send its request's head."""
    body_timeout_s: Seconds = 60.0
    """How long a client may take between two pieces of its request's body."""
    write_timeout_s: Seconds = 30.0
    """How long a client may read nothing of an answer that waits for it."""


class Server(Section):
    """The listening server."""

    host: Text = "127.0.0.1"
    """Address to listen on. Anything but loopback needs a master key."""
    port: Port = 8000
    """Port to listen on; 0 picks a free one."""
    workers: Positive = 1
    """Gateway processes."""
    role: str = "all"
    """What this process does: all, or a comma-separated list of gateway (AI routes), console (management), worker."""
    allowed_hosts: tuple[str, ...] = ()
    """Names besides localhost that the open door answers to in the `Host` header."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    cors_origins: tuple[Text, ...] = ()
    """Origins (`https://app.example.com`) whose pages may call this server from a browser; default: none."""
    default_model: str | None = None
    """Answers requests that name no model; default: the first of `[[models]]`, else `local`."""
    accept_any_model: bool | None = None
    """Whether `local` answers for unknown model names; default: only when there are no keys and no `[[models]]`."""
    request_timeout_s: Seconds = 600.0
    """Longest time for one AI call, from its first byte to its last."""
    shutdown_grace_s: Seconds = 30.0
    """How long open answers may take to finish after SIGTERM."""
    limits: ServerLimits = ServerLimits.model_construct()

    @property
    def roles(self) -> frozenset[str]:
        """The names in `role`, `all` spelled out."""
        named = frozenset(role.strip() for role in self.role.split(","))
        return frozenset(ROLES) if "all" in named else named


class Access(Section):
    """Who may come in."""

    master_key: SecretStr | None = None
    """Opens every door. Needed to listen on anything but loopback. (UNDERCROFT_MASTER_KEY)"""
