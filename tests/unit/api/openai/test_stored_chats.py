import asyncio

import pytest
from msgspec.structs import replace

from tests.support.clock import ManualClock
from tests.support.gateway import Bench, Prompter, said
from undercroft.access.keys import KeyRing
from undercroft.api.openai.stored_chats import Keeping
from undercroft.assembly.database import DatabaseLink
from undercroft.errors import Unavailable
from undercroft.gateway.call import Call
from undercroft.ledger.limit_book import LimitBook
from undercroft.llm.reply import Reply
from undercroft.settings.model import Settings


def call(bench: Bench, *, store: bool) -> Call:
    plain = bench.call(stream=False)
    return replace(plain, request=replace(plain.request, store=store))


@pytest.mark.parametrize("store", [False, True])
def test_what_cannot_be_kept_is_refused_before_the_provider_is_asked(*, store: bool) -> None:
    prompter = Prompter(said("hello"))
    bench = Bench(prompter)
    link = DatabaseLink(Settings(), keys=KeyRing(), limits=LimitBook(), clock=ManualClock())  # never opened
    keeping = Keeping(bench.gateway.send, link=link, clock=bench.clock)

    async def ask() -> Reply:
        return await keeping.send(call(bench, store=store))

    if store:
        with pytest.raises(Unavailable, match="database is not ready"):
            asyncio.run(ask())
        assert prompter.asked == []
    else:
        asyncio.run(ask())
        assert len(prompter.asked) == 1, "who does not ask for it does not need the database"
