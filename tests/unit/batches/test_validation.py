import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from undercroft.batches.types import LINES
from undercroft.batches.validation import CHUNK_BYTES, CHUNK_LINES, MOST_ERRORS, Checked, Validation, chunks
from undercroft.errors import InvalidRequest

URL = "/v1/embeddings"


class Checker:
    """Takes `{"model": …, "inputs": …}`."""

    def look(self, endpoint: str, body: bytes, /) -> Checked:
        assert endpoint == URL
        fields = msgspec.json.decode(body)
        if "model" not in fields:
            raise InvalidRequest("No model.", code="no_model", param="model")
        return Checked(fields["model"], fields.get("inputs", 1))


def line(custom_id: str, **body: object) -> bytes:
    return msgspec.json.encode({"custom_id": custom_id, "method": "POST", "url": URL, "body": body})


def looked(*texts: bytes) -> Validation:
    validation = Validation(URL, Checker())
    validation.look(list(enumerate(texts, start=1)))
    validation.close()
    return validation


def test_right_lines_are_counted_and_their_model_is_known() -> None:
    found = looked(line("a", model="m"), line("b", model="m"))
    assert (found.errors, found.total, found.model) == ([], 2, "m")
    assert looked(line("a", model="m"), line("b", model="n")).model == ""


def test_every_wrong_line_is_named() -> None:
    found = looked(line("a", model="m"), b"{", line("a", model="m"), line("c"))
    assert [(each.line, each.code, each.param) for each in found.errors] == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
        (4, "no_model", "body.model"),
    ]


def test_nobody_reads_on_after_a_hundred_mistakes() -> None:
    found = looked(*[b"{"] * (MOST_ERRORS + 50))
    assert len(found.errors) == MOST_ERRORS
    assert found.is_hopeless


def test_an_empty_input_and_one_that_is_too_long_are_refused() -> None:
    assert [each.code for each in looked().errors] == ["empty_file"]
    too_long = looked(*(line(f"{number}", model="m", inputs=0) for number in range(LINES + 5)))
    assert [each.code for each in too_long.errors] == ["too_many_lines"]


def test_inputs_of_all_lines_together_are_limited() -> None:
    assert looked(line("a", model="m", inputs=LINES)).errors == []
    found = looked(line("a", model="m", inputs=LINES), line("b", model="m"))
    assert [each.code for each in found.errors] == ["too_many_inputs"]


@pytest.mark.parametrize(("length", "most"), [(1, CHUNK_LINES), (CHUNK_BYTES // 4, 4)])
def test_lines_come_in_chunks_that_fit_into_memory(length: int, most: int) -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        for _ in range(CHUNK_LINES * 2 + 1 if length == 1 else 9):
            yield b"x" * length + b"\n"

    async def sizes() -> list[int]:
        return [len(chunk) async for chunk in chunks(pieces())]

    assert asyncio.run(sizes()) == [most, most, 1]
