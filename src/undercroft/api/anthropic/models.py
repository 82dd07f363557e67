"""`GET /v1/models` and `GET /v1/models/{model}` for those who send `anthropic-version`."""

from undercroft.api.exchange import Exchange
from undercroft.gateway.call import Model
from undercroft.wire.anthropic import models as wire


async def list_models(exchange: Exchange, models: list[Model], *, created: int) -> None:
    """A page of the configured models."""
    page = wire.decode_page(exchange.query)
    await exchange.respond(wire.encode_page([_view(model, created) for model in models], page))


async def show_model(exchange: Exchange, model: Model, *, created: int) -> None:
    """One configured model."""
    await exchange.respond(wire.encode_one(_view(model, created)))


def _view(model: Model, created: int) -> wire.AnthropicModel:
    return wire.model(model.name, created=created, context_length=model.notes.get("context_length"))
