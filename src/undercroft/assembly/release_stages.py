"""What releases do to calls besides naming model and prompt: guardrails, retrieval, and showing answers to a judge."""

from typing import TYPE_CHECKING

from undercroft.assembly.bundled import LOCAL_EMBEDDING
from undercroft.assembly.guards import Told, rules_of
from undercroft.assembly.knowledge import KnowledgeOffice
from undercroft.assembly.releases import ReleaseOffice
from undercroft.assembly.retrieval import Retrieval
from undercroft.assembly.vectors import Vectors
from undercroft.clock import Clock
from undercroft.gateway.call import Stage
from undercroft.gateway.stages.guardrail import Guardrail
from undercroft.gateway.stages.retrieve import Admitting, Retrieve
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.assembly.online_evaluation import OnlineJudge
    from undercroft.gateway.stages.guard import Guard


def stages_of_releases(
    settings: Settings, guard: "Guard | None", knowledge: KnowledgeOffice, *, told: Told, clock: Clock
) -> list[Stage]:
    """In their order. `guard`: the operator's own, which sees what was retrieved as well."""
    guardrail = Guardrail(rules_of, tell=told)
    guards: list[Admitting] = [*([guard] if guard is not None else []), guardrail]
    usual_model = settings.vectors.embedding_model or LOCAL_EMBEDDING  # as `undercroft vectors` embeds
    search = Retrieval(knowledge, usual_model=usual_model, clock=clock)
    return [guardrail, Retrieve(search, guards=guards)]


def judge_of(settings: Settings, releases: ReleaseOffice, vectors: Vectors, *, is_frozen: bool) -> "OnlineJudge | None":
    """None where no alias is evaluated while it answers, or where nothing runs between requests. Raises
    ConfigurationError."""
    if is_frozen or not settings.releases.online:
        return None
    from undercroft.assembly.online_evaluation import OnlineJudge

    return OnlineJudge(settings, releases=releases, store=vectors.store)
