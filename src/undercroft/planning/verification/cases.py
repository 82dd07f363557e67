"""The two workloads: one that mostly waits for a provider, and one that computes its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from undercroft.planning.verification.load import Address
from undercroft.planning.verification.server import chat_request

TOKENS: Final = (2, 4, 8, 16)
"""Lengths of the local model's answers, equally often: work of different sizes."""
PROMPT: Final = "Write a short list of things that one finds on a beach."


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of a server, and which model of it is predicted with."""

    name: str
    messages: tuple[bytes, ...]
    """One for each kind of request."""
    is_waiting: bool
    """Whether an answer's time is mostly waiting, so that only its CPU time queues."""
    servers: int
    """Processes, or places, that take requests."""
    cores: int
    """That they have between them."""

    @property
    def kinds(self) -> Sequence[int]:
        return range(len(self.messages))


def gateway_case(address: Address, *, workers: int, cores: int) -> Case:
    message = chat_request("chat", PROMPT, address)
    return Case("gateway", (message,), is_waiting=True, servers=workers, cores=min(workers, cores))


def local_case(address: Address) -> Case:
    messages = tuple(chat_request("local", PROMPT, address, most_tokens=tokens) for tokens in TOKENS)
    return Case("local", messages, is_waiting=False, servers=1, cores=1)


def target_case(address: Address, *, model: str, key: str) -> Case:
    return Case("target", (chat_request(model, PROMPT, address, key=key),), is_waiting=True, servers=1, cores=1)
