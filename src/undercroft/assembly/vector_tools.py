"""What `undercroft vectors` works with besides a store: the bundled embedder, machines and their prices."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from undercroft.errors import ConfigurationError
from undercroft.llm.types import EmbeddingsRequest
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.vectors.compare import FindMachine, Machine
    from undercroft.vectors.types import Point, Vector

EMBEDDED_AT_ONCE: Final = 64


class Embedder:
    """The bundled embedding model, loaded when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def embed(self, texts: Sequence[str]) -> "list[Vector[float]]":
        """A vector for each text. Raises ConfigurationError when there are any and the model is not installed."""
        if not texts:
            return []
        from undercroft.providers.local import weights
        from undercroft.providers.local.embedder import LocalEmbedder
        from undercroft.vectors.types import vector_of

        found = weights.locate(self._settings.local.models_dir, self._settings.data_dir)
        if found is None:
            raise ConfigurationError(
                "Texts need the bundled embedding model, and it is not installed.", hint="Type: undercroft models pull"
            )
        model = LocalEmbedder(found.embedder, found.tokenizer)
        try:
            made: list[Vector[float]] = []
            for start in range(0, len(texts), EMBEDDED_AT_ONCE):
                some = tuple(texts[start : start + EMBEDDED_AT_ONCE])
                reply = await model.embed(EmbeddingsRequest(model="local-embedding", inputs=some))
                assert reply.whole is not None
                made += [vector_of(vector) for vector in reply.whole.vectors]
            return made
        finally:
            await model.close()

    async def completed(self, points: "Sequence[Point]") -> "list[Point]":
        """The points, those without a vector with one of their text. Raises as `embed` does."""
        wordy = [point.text or "" for point in points if not point.vector]
        made = iter(await self.embed(wordy))
        return [point if point.vector else replace(point, vector=next(made)) for point in points]


def machines(provider: str, region: str | None) -> "FindMachine":
    """Finds the cheapest machine of a cloud. Raises OutOfRange for an unknown cloud or region."""
    from undercroft.planning import instances
    from undercroft.planning.bounds import OutOfRange
    from undercroft.vectors.compare import Machine

    instances.instances(provider, region)

    def find(vcpu: float, memory_gib: float) -> "Machine | None":
        needs = instances.Needs(vcpu=vcpu, memory_gib=memory_gib, takes_burstable=False)
        try:
            best = instances.cheapest(needs, provider, region)
        except OutOfRange:
            return None
        one = best.instance
        return Machine(
            one.name, one.vcpu, one.memory_gib, Decimal(str(round(best.usd_month, 2))), best.source, best.as_of
        )

    return find
