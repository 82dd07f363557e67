"""What the desk makes of what it is asked for."""

from typing import Any

import msgspec

from undercroft.jobs.desk import Wanted, fingerprint

ASKED = Wanted(kind="generate", input=b'{"prompt":"hi","model":"chat"}', idempotency_key="k")


def test_equal_requests_have_one_fingerprint_however_they_are_written() -> None:
    spaced = msgspec.structs.replace(
        ASKED, input=b'{ "model": "chat",\n "prompt": "hi" }', idempotency_key="k2", trace="t"
    )
    assert fingerprint(spaced) == fingerprint(ASKED)


def test_anything_else_that_is_asked_for_makes_another() -> None:
    changes: list[dict[str, Any]] = [
        {"input": b'{"prompt":"ho","model":"chat"}'},
        {"kind": "chat"},
        {"priority": 1},
        {"queue": "slow"},
        {"run_at_us": 1},
        {"webhook": "https://example.com"},
        {"after": ("job_1",)},
    ]
    seen = {fingerprint(msgspec.structs.replace(ASKED, **change)) for change in changes}
    assert len(seen | {fingerprint(ASKED)}) == len(changes) + 1
