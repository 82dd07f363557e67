"""What Google's errors mean. They are said again in OpenAI's words, whose rules hold for every provider."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from undercroft.errors import UpstreamError
from undercroft.wire.openai import failures as openai

_OVERFLOW: Final = "exceeds the maximum number of tokens"
_OUR_CREDENTIAL: Final = 401
_CODES: Final = {"NOT_FOUND": "model_not_found", "INVALID_ARGUMENT": "invalid_argument"}

_encode = msgspec.json.Encoder().encode


def decode_error(status: int, headers: Mapping[str, str], body: bytes, /, *, now_us: int) -> UpstreamError:
    """The error an HTTP status other than 200 stands for. `headers` by lower-case name."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return openai.decode_error(status, headers, body, now_us=now_us)
    if isinstance(told, list) and told:  # a stream's error comes as a list of one
        told = told[0]
    detail = told.get("error") if isinstance(told, dict) else None
    if not isinstance(detail, dict):
        return openai.decode_error(status, headers, body, now_us=now_us)
    status, said = _in_other_words(status, detail)
    return openai.decode_error(status, headers, _encode({"error": said}), now_us=now_us)


def error_in_answer(detail: Any) -> UpstreamError:
    """The error in an answer that began well."""
    if not isinstance(detail, dict):
        return openai.error_in_answer({"error": detail})
    code = detail.get("code")
    status, said = _in_other_words(code if isinstance(code, int) else 500, detail)
    return openai.error_in_answer({"error": {**said, "status_code": status}})


def _in_other_words(status: int, detail: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    name, message = str(detail.get("status", "")), str(detail.get("message", ""))
    details = detail.get("details")
    reasons = {each.get("reason") for each in details if isinstance(each, dict)} if isinstance(details, list) else set()
    if "API_KEY_INVALID" in reasons or name == "FAILED_PRECONDITION":
        # 400 for both, though a wrong key, a region or a missing bill are the operator's to mend.
        status = _OUR_CREDENTIAL
    said: dict[str, Any] = {"message": message, "details": details}
    if _OVERFLOW in message:
        said["code"] = "context_length_exceeded"
    elif name:
        said["code"] = _CODES.get(name, name.lower())
    return status, said
