"""Whose collections a release may read."""

import asyncio
from typing import cast

import pytest

from tests.support.clock import ManualClock
from undercroft.assembly.knowledge import KnowledgeOffice
from undercroft.assembly.retrieval import Retrieval
from undercroft.errors import NotFound
from undercroft.gateway.call import Call
from undercroft.llm.types import ChatRequest
from undercroft.record import Who
from undercroft.versions.content import RetrievalContent


def test_a_collection_of_the_operators_is_not_there_for_other_organisations() -> None:
    clock = ManualClock()
    nothing = cast("KnowledgeOffice", None)  # it is not even asked
    search = Retrieval(nothing, usual_model="local-embedding", clock=clock)
    call = Call(
        id="req_1",
        endpoint="/v1/chat/completions",
        who=Who(organisation="acme"),
        request=ChatRequest(model="support", messages=()),
        started_us=0,
        started=0.0,
        deadline=60.0,
    )

    with pytest.raises(NotFound, match="manual"):
        asyncio.run(search(RetrievalContent(collection="manual"), "Why?", call))
