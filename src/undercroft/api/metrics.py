"""`/metrics`: Prometheus text, or OpenMetrics for who asks for it."""

from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft


def routes(undercroft: Undercroft) -> list[Route]:
    async def metrics(exchange: Exchange) -> None:
        """All series of all processes of this installation, at most 2 s old."""
        content_type, body = undercroft.scrape(exchange.header(b"accept"))
        await exchange.respond(body, content_type=content_type.encode())

    return [Route("GET", "/metrics", "scrape", metrics)]
