"""What a command prints: a table or a line for people, or with --json the same value for programs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TextIO

PROGRESS_AFTER_S = 2.0
"""What is done sooner needs no bar."""


class Output:
    """Results go to `stream`, everything else to `error_stream`, so that a pipe sees only results."""

    def __init__(
        self,
        json: bool,
        stream: TextIO,
        error_stream: TextIO,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.json = json
        self._stream = stream
        self._error_stream = error_stream
        self._monotonic = monotonic

    def show(self, value: object, *, text: str | None = None) -> None:
        """The value with --json, otherwise `text` (or the value as text)."""
        if self.json:
            self._print_json(value)
        else:
            self._stream.write(f"{value if text is None else text}\n")

    def table(
        self, rows: Sequence[Mapping[str, object]], *, columns: Sequence[str] | None = None, empty: str = ""
    ) -> None:
        """A list of objects with --json, otherwise a table; `empty` is what people read when there are no rows."""
        if self.json:
            self._print_json(rows)
        elif rows:
            self._print_table(rows, columns or list(rows[0]))
        elif empty:
            self._stream.write(f"{empty}\n")

    def line(self, text: str) -> None:
        """A line for people; with --json it goes to stderr, so that stdout stays one JSON value."""
        (self._error_stream if self.json else self._stream).write(f"{text}\n")

    def note(self, text: str) -> None:
        """A remark beside the result, on stderr."""
        self._error_stream.write(f"{text}\n")

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Gives a function to call with what was done since; on a terminal, a bar appears if it takes long."""
        started = self._monotonic()
        done = 0
        shown: Callable[[int], None] | None = None
        with ExitStack() as stack:

            def advance(step: int) -> None:
                nonlocal done, shown
                done += step
                if shown is not None:
                    shown(step)
                elif self._error_stream.isatty() and self._monotonic() - started >= PROGRESS_AFTER_S:
                    shown = self._start_bar(stack, label, total, done)

            yield advance

    def _start_bar(self, stack: ExitStack, label: str, total: int | None, done: int) -> Callable[[int], None]:
        from rich.console import Console
        from rich.progress import Progress

        bar = stack.enter_context(Progress(console=Console(file=self._error_stream), transient=True))
        task = bar.add_task(label, total=total, completed=done)
        return lambda step: bar.advance(task, step)

    def _print_json(self, value: object) -> None:
        import msgspec

        encoded = msgspec.json.encode(value, enc_hook=str)
        self._stream.write(msgspec.json.format(encoded, indent=2).decode() + "\n")

    def _print_table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            is_number = all(isinstance(row.get(column), int | float) for row in rows)
            table.add_column(column, justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(row.get(column))) for column in columns))
        # On a pipe, lines are as long as they need to be: grep and awk do not read folded cells.
        width = None if self._stream.isatty() else 1_000_000
        Console(file=self._stream, width=width, highlight=False).print(table)


def _cell(value: object) -> str:
    """Control characters of a value must not reach the terminal."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(each if each.isprintable() else "�" for each in text)
