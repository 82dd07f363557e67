"""`/v1/files`: what is asked, and how files are told."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from undercroft.errors import InvalidRequest
from undercroft.wire.body import invalid, missing, unsupported
from undercroft.wire.query import read_query

Told = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "fine-tune",
    "fine-tune-results",
    "vision",
    "user_data",
    "evals",
]
Uploaded = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
UPLOADED: Final[tuple[Uploaded, ...]] = get_args(Uploaded)
SHORTEST_S, LONGEST_S = 3600, 2_592_000
LONGEST_NAME = 512


class FileExpiry(msgspec.Struct, kw_only=True):
    """When a file is deleted: so many seconds after it was made."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=SHORTEST_S, le=LONGEST_S)]


class FileUpload(msgspec.Struct, kw_only=True):
    """The fields of the form. `expires_after` is written `expires_after[anchor]` and `expires_after[seconds]`."""

    file: Annotated[str, Meta(extra_json_schema={"format": "binary"})]
    purpose: Uploaded
    expires_after: FileExpiry | None = None


class FileObject(msgspec.Struct, kw_only=True):
    """A file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Told
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None


class FileList(msgspec.Struct, kw_only=True):
    """Some of the files."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(msgspec.Struct, kw_only=True):
    """It is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class FileQuery(msgspec.Struct, kw_only=True):
    """Which files to list."""

    purpose: str | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


class FileForm(msgspec.Struct, frozen=True):
    """What a form says of its file, checked."""

    purpose: Uploaded
    expires_after_s: int | None


_encode = msgspec.json.Encoder().encode


def form_of(fields: dict[str, str]) -> FileForm:
    """The fields of a form besides its file. Raises InvalidRequest."""
    given = fields.get("purpose")
    if given is None:
        raise missing("purpose")
    purpose = next((each for each in UPLOADED if each == given), None)
    if purpose is None:
        raise unsupported("purpose", got=given, supported=UPLOADED)
    return FileForm(purpose, _expiry(fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")))


def _expiry(anchor: str | None, seconds: str | None) -> int | None:
    if anchor is None and seconds is None:
        return None
    if anchor is None:
        raise missing("expires_after[anchor]")
    if anchor != "created_at":
        raise unsupported("expires_after[anchor]", got=anchor, supported=("created_at",))
    if seconds is None:
        raise missing("expires_after[seconds]")
    if not seconds.isdecimal() or not seconds.isascii() or not SHORTEST_S <= int(seconds[:12]) <= LONGEST_S:
        raise invalid(
            f"Invalid 'expires_after[seconds]': expected an integer from {SHORTEST_S} to {LONGEST_S}.",
            param="expires_after[seconds]",
        )
    return int(seconds)


def filename_of(name: str) -> str:
    """The last step of what the client calls the file. Raises InvalidRequest for one that no file can have."""
    last = name.replace("\\", "/").rpartition("/")[2]
    if not last or len(last) > LONGEST_NAME or not last.isprintable():
        raise InvalidRequest(
            f"The file needs a name of 1 to {LONGEST_NAME} printable characters.", code="invalid_value", param="file"
        )
    return last


def decode_query(query: bytes) -> FileQuery:
    """Raises InvalidRequest."""
    return read_query(query, FileQuery)


def encode_one(file: FileObject) -> bytes:
    return _encode(file)


def encode_list(files: Sequence[FileObject], *, has_more: bool) -> bytes:
    ends = (files[0].id, files[-1].id) if files else (None, None)
    return _encode(FileList(data=list(files), first_id=ends[0], last_id=ends[1], has_more=has_more))


def encode_deleted(id: str) -> bytes:
    return _encode(FileDeleted(id=id))
