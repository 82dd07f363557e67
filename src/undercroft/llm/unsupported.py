"""What a request asks for and its target cannot do: refused, or left out and told, as the operator chose."""

from undercroft.errors import InvalidRequest


class Unsupported:
    """Collects what one request loses on its way to a provider of another dialect.

    An encoder calls `note` for each such parameter and goes on; what has no meaning without it, it refuses by itself.
    """

    __slots__ = ("_drop", "_target", "names")

    def __init__(self, target: str, *, drop: bool) -> None:
        self._target = target
        self._drop = drop
        self.names: list[str] = []
        """What was left out: `Reply.dropped`, and the header `x-undercroft-dropped`."""

    def note(self, param: str, *, why: str = "") -> None:
        """Raises InvalidRequest unless such parameters are dropped."""
        if not self._drop:
            reason = f" {why}" if why else ""
            raise InvalidRequest(
                f"The model behind this name ({self._target}) does not support '{param}'.{reason}",
                code="unsupported_parameter",
                param=param,
                hint="Leave it out, or let the operator set drop_unsupported = true for this model.",
            )
        if param not in self.names:
            self.names.append(param)

    def leave_out(self, param: str) -> None:
        """For what only hints: never worth refusing the call, but told."""
        if param not in self.names:
            self.names.append(param)
