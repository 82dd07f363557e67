"""Recall against searches a second, as a picture that any browser shows."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from undercroft.vectors.bench import Measured, Report

WIDTH: Final = 760
HEIGHT: Final = 460
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 40, 50
COLOURS: Final = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5ea2", "#b8860b", "#444444")


def recall_plot(reports: Sequence[Report], *, share: float = 1.0) -> str:
    """SVG: a line for each store with one client, recall to the right, searches a second (logarithmic) upwards."""
    lines = [(report.store, _points(report, share)) for report in reports]
    every = [one for _, points in lines for one in points]
    if not every:
        raise ValueError(f"nothing was measured with a share of {share}")
    least = min([0.99, *(one.recall or 0 for one in every)])
    lowest, highest = _decades([one.qps for one in every])

    def across(recall: float) -> float:
        return LEFT + (recall - least) / (1 - least) * (WIDTH - LEFT - RIGHT)

    def upward(qps: float) -> float:
        return HEIGHT - BOTTOM - (math.log10(qps) - lowest) / (highest - lowest) * (HEIGHT - TOP - BOTTOM)

    drawn = [_frame(share)]
    drawn += [
        _tick(across(least + (1 - least) * step / 4), HEIGHT - BOTTOM + 18, f"{least + (1 - least) * step / 4:.3f}")
        for step in range(5)
    ]
    drawn += [
        _tick(LEFT - 8, upward(10**power) + 4, f"{10**power:,}", anchor="end") for power in range(lowest, highest + 1)
    ]
    for place, (name, points) in enumerate(lines):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{across(one.recall or 0):.1f},{upward(one.qps):.1f}" for one in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for one in points:
            label = f"{name}, effort {one.effort or 'default'}: recall {one.recall:.4f}, {one.qps:.0f}/s"
            drawn.append(
                f'<circle cx="{across(one.recall or 0):.1f}" cy="{upward(one.qps):.1f}" r="4" fill="{colour}">'
                f"<title>{escape(label)}</title></circle>"
            )
        drawn.append(
            f'<text x="{WIDTH - RIGHT + 20}" y="{TOP + 20 + 22 * place}" fill="{colour}">{escape(name)}</text>'
        )
    style = "font-family:sans-serif;font-size:13px;background:#fff"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" style="{style}">\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _points(report: Report, share: float) -> list[Measured]:
    fewest = min((one.clients for one in report.measured), default=1)
    chosen = [
        one
        for one in report.measured
        if one.recall is not None and one.share == share and one.clients == fewest and one.qps > 0
    ]
    return sorted(chosen, key=lambda one: (one.recall or 0, -one.qps))


def _decades(rates: Sequence[float]) -> tuple[int, int]:
    lowest = math.floor(math.log10(min(rates)))
    return lowest, max(lowest + 1, math.ceil(math.log10(max(rates))))


def _frame(share: float) -> str:
    filtered = "no filter" if share >= 1 else f"filter that {share:.1%} of the points fit"
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    return (
        f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" fill="none" stroke="#999"/>'
        f'<text x="{LEFT}" y="{TOP - 14}">Recall against searches a second, one client, {filtered}</text>'
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">recall</text>'
    )


def _tick(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#555">{text}</text>'
