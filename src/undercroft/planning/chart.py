"""Lines as an SVG, and a page around them: nothing is loaded from anywhere, and it looks the same in ten years."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Final

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 820, 320
LEFT, RIGHT, TOP, BOTTOM = 72, 190, 34, 42
COLOURS: Final = ("#0f766e", "#b45309", "#1d4ed8", "#be123c", "#6d28d9", "#4d7c0f", "#0e7490", "#a21caf", "#57534e")
STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c1917}"
    "table{border-collapse:collapse;font-size:13px}"
    "td,th{padding:.15rem .6rem;text-align:right;border-bottom:1px solid #e7e5e4}"
    "th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def line_chart(title: str, series: Mapping[str, Points], *, x_label: str, y_label: str, is_log: bool = False) -> str:
    """One SVG element with a line a series; `is_log` for both axes. What cannot be shown there is left out."""
    shown = {name: [(x, y) for x, y in points if _is_shown(x, y, is_log)] for name, points in series.items()}
    shown = {name: points for name, points in shown.items() if points}
    every = [point for points in shown.values() for point in points]
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{html.escape(title, quote=True)}" font-family="system-ui,sans-serif" font-size="11">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="18" font-size="14" font-weight="600">{html.escape(title)}</text>',
    ]
    if every:
        x_axis = _Axis([x for x, _ in every], LEFT, WIDTH - RIGHT, is_log=is_log)
        y_axis = _Axis([y for _, y in every] + ([] if is_log else [0.0]), HEIGHT - BOTTOM, TOP, is_log=is_log)
        parts += _grid(x_axis, y_axis)
        for place, (name, points) in enumerate(shown.items()):
            colour = COLOURS[place % len(COLOURS)]
            path = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in points)
            parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
            y = TOP + 12 + 16 * place
            parts.append(
                f'<rect x="{WIDTH - RIGHT + 12}" y="{y - 8}" width="10" height="10" fill="{colour}"/>'
                f'<text x="{WIDTH - RIGHT + 28}" y="{y + 1}">{html.escape(name)}</text>'
            )
    else:
        parts.append(f'<text x="{LEFT}" y="{HEIGHT / 2}">nothing to show</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>')
    parts.append(
        f'<text transform="translate(13 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(y_label)}</text></svg>"
    )
    return "\n".join(parts)


def page(
    title: str, charts: Sequence[str], *, notes: Sequence[str] = (), rows: Sequence[Mapping[str, object]] = ()
) -> str:
    """An HTML page with charts, a table and remarks."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
        *charts,
    ]
    if rows:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
        body = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape('' if each is None else str(each))}</td>" for each in row.values())
            + "</tr>"
            for row in rows
        )
        parts.append(f"<table><tr>{head}</tr>{body}</table>")
    parts += [f"<p>{html.escape(note)}</p>" for note in notes]
    return "\n".join([*parts, "</body></html>"]) + "\n"


class _Axis:
    """Where a value lies between two pixels."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, is_log: bool) -> None:
        self._start, self._end, self._is_log = start, end, is_log
        low, high = min(values), max(values)
        if is_log:
            first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
            powers = [10.0**power for power in range(first, last + 1)]
            self.ticks = [power for power in powers if power]  # the smallest of floats have a power below them all
            self._low, self._high = float(first), float(max(last, first + 1))
        else:
            step = _round_step((high - low) / 5)
            first = math.floor(low / step)
            self.ticks = [count * step for count in range(first, math.ceil(high / step) + 1)]
            self._low, self._high = self.ticks[0], max(self.ticks[-1], self.ticks[0] + step)

    def at(self, value: float) -> float:
        share = (self._scale(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def _scale(self, value: float) -> float:
        return math.log10(value) if self._is_log else value


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, not below `step`."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _grid(x_axis: _Axis, y_axis: _Axis) -> list[str]:
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.at(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e7e5e4"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.10g}</text>')
    for tick in x_axis.ticks:
        x = x_axis.at(tick)
        if LEFT - 1 <= x <= WIDTH - RIGHT + 1:
            parts.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v4" stroke="#78716c"/>')
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:,.10g}</text>')
    return parts


def _is_shown(x: float, y: float, is_log: bool) -> bool:
    return math.isfinite(x) and math.isfinite(y) and (not is_log or (x > 0 and y > 0))


def stacked(charts: Sequence[str]) -> str:
    """Several charts as one SVG, one above the other."""
    placed = [
        chart.replace("<svg ", f'<svg y="{place * HEIGHT}" width="{WIDTH}" height="{HEIGHT}" ', 1)
        for place, chart in enumerate(charts)
    ]
    height = HEIGHT * len(charts)
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">', *placed, "</svg>\n"])
