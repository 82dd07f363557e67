"""What one turn of the loop has to send goes out at its end, whatever one of the senders does."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from undercroft.egress.turn import MOST_HELD, Turn, turn_of

Run = Callable[[Coroutine[Any, Any, None]], None]


class Sender:
    def __init__(self, name: str, sent: list[str]) -> None:
        self.name = name
        self.sent = sent

    def send_held(self) -> None:
        self.sent.append(self.name)


class Failing(Sender):
    def send_held(self) -> None:
        raise RuntimeError("no")


def test_it_goes_out_in_order_once_the_turn_is_over(run: Run) -> None:
    async def scenario() -> None:
        turn, sent = Turn(), list[str]()
        for name in ("first", "second", "third"):
            turn.add(Sender(name, sent))
        assert not sent
        await asyncio.sleep(0)
        assert sent == ["first", "second", "third"]
        turn.add(Sender("another turn's", sent))
        await asyncio.sleep(0)
        assert sent[3:] == ["another turn's"]

    run(scenario())


def test_nobody_waits_for_a_long_turn(run: Run) -> None:
    async def scenario() -> None:
        turn, sent = Turn(), list[str]()
        for number in range(MOST_HELD - 1):
            turn.add(Sender(str(number), sent))
        assert not sent
        turn.add(Sender("last", sent))
        assert len(sent) == MOST_HELD
        turn.add(Sender("the next", sent))
        assert len(sent) == MOST_HELD, "which begins a new lot"
        await asyncio.sleep(0)
        assert sent[MOST_HELD:] == ["the next"]

    run(scenario())


def test_one_that_fails_keeps_nobody_waiting_and_is_told_to_the_loop(run: Run) -> None:
    async def scenario() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
        turn, sent = Turn(), list[str]()
        failing = Failing("", sent)
        for sender in (Sender("first", sent), failing, Sender("second", sent)):
            turn.add(sender)
        await asyncio.sleep(0)
        assert sent == ["first", "second"]
        assert [(str(what["exception"]), what["protocol"]) for what in told] == [("no", failing)]

    run(scenario())


def test_all_who_send_on_a_loop_share_its_turn(run: Run) -> None:
    turns: list[Turn] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert turn_of(loop) is turn_of(loop)
        turns.append(turn_of(loop))

    run(scenario())
    run(scenario())
    assert turns[0] is not turns[1], "of another loop"
