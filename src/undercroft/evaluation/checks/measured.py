"""Checks of what an answer took: latency_ms, cost_usd, output_tokens."""

from undercroft.evaluation.check import Tools, marked
from undercroft.evaluation.types import Answer, Case, Mark
from undercroft.money import format_usd, parse_usd


class Latency:
    """The whole answer took no longer than so many ms. An answer out of the cache has the time that it took then."""

    def __init__(self, value: object) -> None:
        self._most = float(str(value))

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        fits = answer.latency_ms <= self._most
        return marked("latency_ms", fits, f"{answer.latency_ms:.0f} ms")


class Cost:
    """The answer cost no more than so many USD."""

    def __init__(self, value: object) -> None:
        self._most = parse_usd(str(value))

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        return marked("cost_usd", answer.cost_nano <= self._most, f"{format_usd(answer.cost_nano)} USD")


class OutputTokens:
    """The answer is no longer than so many tokens."""

    def __init__(self, value: object) -> None:
        self._most = int(str(value))

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        return marked("output_tokens", answer.output_tokens <= self._most, f"{answer.output_tokens} tokens")
