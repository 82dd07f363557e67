"""What the gateway notices becomes events, beside the calls."""

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from undercroft.assembly import Undercroft, assemble
from undercroft.gateway.call import Deployment
from undercroft.settings.model import Settings
from undercroft.storage.schema import events


def _deployment() -> Deployment:
    return Deployment(id="chat/0", provider="openai", upstream_model="chat", client=object())


async def written(undercroft: Undercroft, count: int) -> "list[Row[Any]]":
    async with asyncio.timeout(30):
        while True:
            rows = await undercroft.link.read(lambda c: list(c.execute(select(events).order_by(events.c.number))))
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.01)


def test_what_happens_to_a_deployment_is_written_once_for_each_change_in_order(tmp_path: Path) -> None:
    async def scene() -> None:
        async with assemble(Settings(data_dir=tmp_path), log_calls=False) as undercroft:
            await undercroft.link.first_look()
            desk, chat = undercroft.events, _deployment()
            desk.upstream_changed(chat, "open", "", 10.0)
            await asyncio.to_thread(desk.upstream_changed, chat, "ok", "", 0.0)
            desk.upstream_changed(chat, "half_open", "", 0.0)
            desk.upstream_changed(chat, "resting", "rate_limited", 1.5)
            rows = await written(undercroft, 3)
        assert [row.type for row in rows] == ["upstream.opened", "upstream.closed", "upstream.resting"]
        assert rows[2].data == '{"id":"chat/0","provider":"openai","why":"rate_limited","rest_s":1.5}'

    asyncio.run(scene())


def test_others_write_their_events_with_the_same_outbox(tmp_path: Path) -> None:
    async def scene() -> None:
        async with assemble(Settings(data_dir=tmp_path), log_calls=False) as undercroft:
            outbox = await undercroft.events.outbox()
            assert callable(outbox.append)

    asyncio.run(scene())
