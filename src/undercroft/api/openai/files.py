"""`/v1/files`: uploads go to the store as they come, and come back as they went."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.assembly.files import told
from undercroft.files.types import BATCH_KEPT_S, Arrived, Cursor, Label
from undercroft.record import Who
from undercroft.wire.body import invalid, missing
from undercroft.wire.multipart import Event, MultipartParser, PartBegins, PartData, PartEnds, boundary_of
from undercroft.wire.openai import files as wire

if TYPE_CHECKING:
    from undercroft.files.cabinet import Cabinet

PATH: Final = "/v1/files"
ONE: Final = f"{PATH}/{{file_id}}"
FORM_BYTES: Final = 64 * 1024
"""What a form may be larger than its file."""
LONGEST_FIELD: Final = 4096


class Files:
    """The handlers, one a route."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._office = undercroft.files
        self._max_bytes = undercroft.settings.files.max_bytes
        self._limits = undercroft.settings.server.limits

    async def create(self, exchange: Exchange) -> None:
        """Takes a file: it is there, whole, when this has answered."""
        parser = MultipartParser(boundary_of(exchange.header(b"content-type")))
        cabinet = await self._office.cabinet()
        pieces = exchange.pieces(
            limit=self._max_bytes + FORM_BYTES, timeout_s=self._limits.body_timeout_s, setting="[files] max_bytes"
        )
        form = _Form(cabinet, exchange.caller.who)
        try:
            async with aclosing(pieces), aclosing(_events(pieces, parser)) as events:
                await form.read(events)
            file = await cabinet.keep(*form.complete())
        except BaseException:
            await form.discard()
            raise
        await exchange.respond(wire.encode_one(told(file)))

    async def list(self, exchange: Exchange) -> None:
        """The organisation's files, the latest first."""
        asked = wire.decode_query(exchange.query)
        cabinet = await self._office.cabinet()
        cursor = Cursor(limit=asked.limit + 1, order=asked.order, after=asked.after, purpose=asked.purpose)
        found = await cabinet.page(exchange.caller.who.organisation, cursor)
        shown = [told(file) for file in found[: asked.limit]]
        await exchange.respond(wire.encode_list(shown, has_more=len(found) > asked.limit))

    async def show(self, exchange: Exchange) -> None:
        """What is known of a file."""
        cabinet = await self._office.cabinet()
        file = await cabinet.find(exchange.caller.who.organisation, exchange.path_values["file_id"])
        await exchange.respond(wire.encode_one(told(file)))

    async def content(self, exchange: Exchange) -> None:
        """A file's bytes, as they came."""
        cabinet = await self._office.cabinet()
        file = await cabinet.find(exchange.caller.who.organisation, exchange.path_values["file_id"])
        async with aclosing(cabinet.content(file)) as pieces:
            first = await anext(pieces, b"")  # what cannot be read is still told with a status of its own
            await exchange.start(
                200,
                [
                    (b"content-type", b"application/octet-stream"),
                    (b"content-length", b"%d" % file.size_bytes),
                    # Whatever somebody uploaded, no browser is to take it for a page of ours.
                    (b"content-disposition", b"attachment"),
                    (b"x-content-type-options", b"nosniff"),
                ],
            )
            await exchange.write(first)
            async for piece in pieces:
                await exchange.write(piece)
        await exchange.finish()

    async def delete(self, exchange: Exchange) -> None:
        """Deletes a file and its bytes."""
        cabinet = await self._office.cabinet()
        named = exchange.path_values["file_id"]
        await cabinet.delete(exchange.caller.who.organisation, named)
        await exchange.respond(wire.encode_deleted(named))


class _Form:
    """Reads the form: small fields into memory, the file into the cabinet. The file need not be the last field."""

    def __init__(self, cabinet: "Cabinet", who: Who) -> None:
        self._cabinet = cabinet
        self._who = who
        self._fields: dict[str, str] = {}
        self._filename: str | None = None
        self._arrived: Arrived | None = None

    async def read(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            if not isinstance(event, PartBegins):
                continue
            if event.name == "file":
                if self._arrived is not None:
                    raise invalid("There is more than one field 'file'.", param="file")
                if event.filename is None:
                    raise invalid("The field 'file' is no file: it has no filename.", param="file")
                self._filename = wire.filename_of(event.filename)
                self._arrived = await self._cabinet.receive(self._who, _data(events))
            else:
                self._fields[event.name] = await _text(events, event.name)

    def complete(self) -> tuple[Arrived, Label]:
        """What has arrived, and as what. Raises InvalidRequest."""
        form = wire.form_of(self._fields)
        if self._arrived is None or self._filename is None:
            raise missing("file")
        expires_after_s = form.expires_after_s
        if expires_after_s is None and form.purpose == "batch":
            expires_after_s = BATCH_KEPT_S
        return self._arrived, Label(filename=self._filename, purpose=form.purpose, expires_after_s=expires_after_s)

    async def discard(self) -> None:
        if self._arrived is not None:
            await self._cabinet.discard(self._who.organisation, self._arrived.id)


async def _events(pieces: AsyncIterator[bytes], parser: MultipartParser) -> AsyncGenerator[Event, None]:
    async for piece in pieces:
        for event in parser.feed(piece):
            yield event
    parser.close()


async def _data(events: AsyncIterator[Event]) -> AsyncGenerator[bytes, None]:
    """The rest of the part that has begun."""
    async for event in events:
        if isinstance(event, PartEnds):
            return
        assert isinstance(event, PartData), "a part ends before the next begins"
        yield event.data


async def _text(events: AsyncIterator[Event], name: str) -> str:
    text = bytearray()
    async for data in _data(events):
        text += data
        if len(text) > LONGEST_FIELD:
            raise invalid(f"The field '{name[:64]}' is longer than {LONGEST_FIELD} bytes.", param=name[:64])
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"The field '{name[:64]}' is no UTF-8.", param=name[:64]) from error


def routes(undercroft: Undercroft) -> list[Route]:
    files = Files(undercroft)
    return [
        Route("POST", PATH, "ai", files.create),
        Route("GET", PATH, "ai", files.list),
        Route("GET", ONE, "ai", files.show),
        Route("DELETE", ONE, "ai", files.delete),
        Route("GET", f"{ONE}/content", "ai", files.content),
    ]
