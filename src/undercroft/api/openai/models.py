"""`GET /v1/models` and `GET /v1/models/{model}`."""

import msgspec

from undercroft.api.anthropic import models as anthropic
from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.errors import ModelNotFound, NotAllowed
from undercroft.gateway.call import Model
from undercroft.wire.openai import models as wire


def routes(undercroft: Undercroft) -> list[Route]:
    catalogue = undercroft.gateway.catalogue
    created = undercroft.clock.now_us() // 1_000_000

    async def list_models(exchange: Exchange) -> None:
        """Every configured model."""
        if exchange.header(b"anthropic-version"):
            await anthropic.list_models(exchange, catalogue.models(), created=created)
            return
        await exchange.respond(wire.encode_list(_view(model, created) for model in catalogue.models()))

    async def show_model(exchange: Exchange) -> None:
        """One configured model."""
        name = exchange.path_values["model"]
        for model in catalogue.models():
            if model.name != name:
                continue
            if exchange.header(b"anthropic-version"):
                await anthropic.show_model(exchange, model, created=created)
            else:
                await exchange.respond(wire.encode_one(_view(model, created)))
            return
        raise ModelNotFound(f"The model '{name}' does not exist.", param="model", hint="GET /v1/models lists them.")

    async def delete_model(exchange: Exchange) -> None:
        """Refuses: models stand in the settings, and none is one that callers have trained."""
        name = exchange.path_values["model"]
        if not catalogue.is_known(name):
            raise ModelNotFound(f"The model '{name}' does not exist.", param="model", hint="GET /v1/models lists them.")
        raise NotAllowed(f"The model '{name}' cannot be deleted: it stands in this server's settings.", param="model")

    return [
        Route("GET", "/v1/models", "ai", list_models),
        Route("DELETE", "/v1/models/{model}", "ai", delete_model),
        Route("GET", "/v1/models/{model}", "ai", show_model),
    ]


def _view(model: Model, created: int) -> wire.Model:
    return msgspec.convert({"id": model.name, "created": created, "owned_by": model.owner, **model.notes}, wire.Model)
