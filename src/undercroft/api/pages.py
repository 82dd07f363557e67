"""`/` and `/docs`: pages made on the server, without scripts and without anything from another host."""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from string import Template

import msgspec

from undercroft import __version__
from undercroft.api.exchange import Exchange
from undercroft.api.openapi import document, reference
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft


def routes(undercroft: Undercroft) -> list[Route]:
    async def first_page(exchange: Exchange) -> None:
        """What is running and how to use it."""
        import html  # its table of entities is for who reads pages

        models = undercroft.gateway.catalogue.models()
        chatting = [model.name for model in models if model.does("chat")]
        listed = [f"<li><code>{html.escape(model.name)}</code></li>" for model in models]
        if not chatting:
            listed.append("<li>none to chat with yet: type <code>undercroft models pull</code></li>")
        page = _template("index.html").substitute(
            version=__version__,
            base=html.escape(f"{exchange.scope.get('scheme', 'http')}://{exchange.header(b'host')}"),
            models="".join(listed),
            model=html.escape(chatting[0] if chatting else "local"),
            database=html.escape(undercroft.database_label),
        )
        await _respond(exchange, "undercroft", page)

    async def openapi(exchange: Exchange) -> None:
        """The routes as an OpenAPI 3.1 document."""
        await exchange.respond(msgspec.json.encode(document(undercroft)))

    async def docs(exchange: Exchange) -> None:
        """The routes for people."""
        await _respond(exchange, "undercroft API", reference(document(undercroft)))

    return [
        Route("GET", "/", "docs", first_page),
        Route("GET", "/docs", "docs", docs),
        Route("GET", "/openapi.json", "docs", openapi),
    ]


async def _respond(exchange: Exchange, title: str, body: str) -> None:
    style = _asset("page.css")
    page = _template("page.html").substitute(title=title, style=style, body=body)
    # The only style allowed is this very text, by its hash; no script is allowed at all.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    await exchange.respond(
        page.encode(),
        content_type=b"text/html; charset=utf-8",
        headers=[
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        ],
    )


@cache
def _asset(name: str) -> str:
    return files("undercroft.api").joinpath("assets", name).read_text("utf-8")


def _template(name: str) -> Template:
    return Template(_asset(name))
