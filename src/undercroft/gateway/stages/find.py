"""Finds the model a request is for."""

from msgspec.structs import replace

from undercroft.gateway.call import Call, Handler, kind_of
from undercroft.gateway.catalogue import Catalogue
from undercroft.llm.reply import Reply


class Find:
    """Turns the requested name into a model, or refuses with 404 and the names that exist."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        asked = call.request.model
        model = self._catalogue.find(asked, kind_of(call.request))
        trail = call.trail
        trail.found = model
        if model.name == asked:
            return await proceed(call)
        trail.substituted_for = asked
        return await proceed(replace(call, request=replace(call.request, model=model.name)))
