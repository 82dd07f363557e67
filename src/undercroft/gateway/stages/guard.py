"""Looks at what goes to a model and what comes back, by the operator's rules."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from undercroft.gateway.call import Call, Handler
from undercroft.guards.guard import Blocked, Rule, Window
from undercroft.guards.prompts import checked
from undercroft.guards.types import Side
from undercroft.llm.reply import Reply
from undercroft.llm.types import Choice, Chunk, ToolCallDelta

Tell = Callable[[Call, tuple[str, ...], Sequence[Rule]], None]
"""Hears what was found in a call and not before (`rule:kind`, never the text), and the rules that have found something
in it for the first time."""


class Guard:
    """Not there at all where there are no rules. Outside everything that spends or shares an answer."""

    def __init__(self, rules: Sequence[Rule], *, tell: Tell) -> None:
        self._rules = rules
        self._tell = tell

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        try:
            return await self._guarded(call, proceed)
        except Blocked as blocked:
            self._note(call, (blocked.found,))
            raise

    async def _guarded(self, call: Call, proceed: Handler) -> Reply:
        rules = self._concerned("output", call)
        call = self.admitted(call)
        reply = await proceed(call)
        if not rules:
            return reply
        watch = Watch(rules)
        if reply.whole is not None:
            whole = watch.last(watch.pass_on(reply.whole))
            self._note(call, watch.found)
            return Reply(whole=whole, dropped=reply.dropped, limits=reply.limits)
        chunks = self._watched(call, reply.chunks, watch)
        return Reply(chunks, dropped=reply.dropped, has_begun=reply.has_begun, limits=reply.limits)

    def admitted(self, call: Call) -> Call:
        """The call as it may go to a model. Raises Blocked."""
        rules = self._concerned("input", call)
        if not rules:
            return call
        try:
            request, found = checked(call.request, rules)
        except Blocked as blocked:  # noted here, since a release's retrieval asks this of guards outside it
            self._note(call, (blocked.found,))
            raise
        self._note(call, found)
        return call if request is call.request else replace(call, request=request)

    def _concerned(self, side: Side, call: Call) -> list[Rule]:
        key, route, model = call.who.key, call.endpoint, call.trail.model
        return [rule for rule in self._rules if rule.concerns(side, key=key, route=route, model=model)]

    async def _watched(
        self, call: Call, chunks: AsyncGenerator[Chunk, None], watch: "Watch"
    ) -> AsyncGenerator[Chunk, None]:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    passed = watch.pass_on(chunk)
                    if passed.choices or passed.usage is not None or passed.vectors or passed.verdicts:
                        yield passed
            rest = watch.last(Chunk())
            if rest.choices:
                yield rest
        except Blocked as blocked:
            self._note(call, (blocked.found,))
            raise
        finally:
            self._note(call, watch.found)

    def _note(self, call: Call, found: tuple[str, ...]) -> None:
        before = call.trail.guarded
        fresh = tuple(each for each in found if each not in before)
        if fresh:
            call.trail.guarded += fresh
            self._tell(call, fresh, [rule for rule in self._rules if _has(rule, fresh) and not _has(rule, before)])


def _has(rule: Rule, found: Sequence[str]) -> bool:
    return any(each.startswith(f"{rule.name}:") for each in found)


class Watch:
    """The windows of one answer: one for each text that grows in it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._windows: dict[tuple[int, str, int], Window] = {}

    @property
    def found(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each for window in self._windows.values() for each in window.found))

    def pass_on(self, chunk: Chunk) -> Chunk:
        """What of a chunk may be passed on now. Raises Blocked."""
        if not chunk.choices:
            return chunk if chunk.source is None or chunk.whole else replace(chunk, source=None, dialect=None)
        choices = tuple(fit for choice in chunk.choices if _says_anything(fit := self._fit(choice)))
        return replace(chunk, choices=choices, source=None, dialect=None, whole=False)

    def last(self, chunk: Chunk) -> Chunk:
        """The chunk with everything that was still held back. Raises Blocked."""
        indexes = sorted({index for index, _, _ in self._windows})
        held = [choice for index in indexes if _says_anything(choice := self._rest(Choice(index=index)))]
        if not held:
            return chunk
        by_index = {choice.index: choice for choice in chunk.choices}
        for choice in held:
            by_index[choice.index] = _joined(by_index.get(choice.index), choice)
        return replace(chunk, choices=tuple(by_index[index] for index in sorted(by_index)))

    def _fit(self, choice: Choice) -> Choice:
        index = choice.index
        fit = replace(
            choice,
            text=self._window(index, "text").take(choice.text) if choice.text else "",
            reasoning=self._window(index, "reasoning").take(choice.reasoning) if choice.reasoning else "",
            tool_calls=tuple(
                replace(call, arguments=self._window(index, "tool", call.index).take(call.arguments))
                for call in choice.tool_calls
            ),
        )
        return fit if choice.finish_reason is None else self._rest(fit)

    def _rest(self, choice: Choice) -> Choice:
        """With the ends of its texts."""
        calls = list(choice.tool_calls)
        for place in [place for place in self._windows if place[0] == choice.index]:
            window = self._windows.pop(place)
            rest = window.end()
            self._windows[place] = _Closed(window.found)
            _, what, number = place
            if not rest:
                continue
            if what == "text":
                choice = replace(choice, text=choice.text + rest)
            elif what == "reasoning":
                choice = replace(choice, reasoning=choice.reasoning + rest)
            else:
                calls.append(ToolCallDelta(index=number, arguments=rest))
        return replace(choice, tool_calls=tuple(calls))

    def _window(self, index: int, what: str, number: int = 0) -> Window:
        place = (index, what, number)
        window = self._windows.get(place)
        if window is None:
            window = self._windows[place] = Window(self._rules)
        return window


class _Closed(Window):
    """A text that has ended: only what was found in it is left."""

    def __init__(self, found: tuple[str, ...]) -> None:
        super().__init__(())
        self.found = found


def _says_anything(choice: Choice) -> bool:
    return bool(
        choice.text
        or choice.reasoning
        or choice.refusal
        or choice.signature
        or choice.role
        or choice.finish_reason
        or choice.logprobs is not None
        or any(call.arguments or call.id or call.name for call in choice.tool_calls)
    )


def _joined(one: Choice | None, rest: Choice) -> Choice:
    if one is None:
        return rest
    calls = (*one.tool_calls, *rest.tool_calls)
    return replace(one, text=one.text + rest.text, reasoning=one.reasoning + rest.reasoning, tool_calls=calls)
