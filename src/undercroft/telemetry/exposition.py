"""Series as text: Prometheus' format 0.0.4, or OpenMetrics 1.0 for who asks for it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from undercroft.telemetry.instruments import Exemplar
from undercroft.telemetry.slots import Family, Labels, Totals


@dataclass(frozen=True, slots=True)
class Form:
    """One of the two."""

    content_type: str
    is_openmetrics: bool


PROMETHEUS: Final = Form("text/plain; version=0.0.4; charset=utf-8", is_openmetrics=False)
OPENMETRICS: Final = Form("application/openmetrics-text; version=1.0.0; charset=utf-8", is_openmetrics=True)

Foreign = Callable[[Form, Collection[str]], str]
"""Text of families from elsewhere, without those of the given names (and without OpenMetrics' last line)."""

Exemplars = Mapping[tuple[str, Labels], Mapping[int, Exemplar]]
"""A call with a trace for each bucket that has one, by the family's name and the series' labels."""


def negotiate(accept: str) -> Form:
    """OpenMetrics where `Accept` names it and does not like plain text better."""
    openmetrics = plain = 0.0
    for item in accept.lower().split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        given = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        quality = _quality(given.get("q", "1"))
        if media == "application/openmetrics-text" and given.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, quality)
        elif media == "text/plain":
            plain = max(plain, quality)
    return OPENMETRICS if openmetrics > 0 and openmetrics >= plain else PROMETHEUS


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def render(totals: Totals, form: Form, *, foreign: Foreign | None = None, exemplars: Exemplars | None = None) -> bytes:
    """The whole answer to a scrape. Only OpenMetrics has a place for exemplars."""
    text = "".join(
        line
        for name, family in sorted(totals.families.items())
        for line in _family(family, totals.values.get(name, {}), form, exemplars or {})
    )
    if foreign is not None:
        text += foreign(form, {base_name(name) for name in totals.families})
    return (text + ("# EOF\n" if form.is_openmetrics else "")).encode()


def base_name(name: str) -> str:
    """A counter's name without `_total`: what OpenMetrics and prometheus_client call the family."""
    return name.removesuffix("_total")


def _family(family: Family, values: dict[Labels, list[int]], form: Form, exemplars: Exemplars) -> Iterator[str]:
    if not values:
        return
    title = base_name(family.name) if form.is_openmetrics else family.name
    text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if form.is_openmetrics:
        text = text.replace('"', '\\"')
    yield f"# HELP {title} {text}\n# TYPE {title} {family.kind}\n"
    for labels, slots in sorted(values.items()):
        pairs = [f'{name}="{_escape(value)}"' for name, value in zip(family.labels, labels, strict=True)]
        if family.kind == "histogram":
            yield from _histogram(family, pairs, slots, exemplars.get((family.name, labels), {}))
        else:
            yield _sample(family.name, pairs, decimal(slots[0], family.scale))


def _histogram(family: Family, pairs: list[str], slots: list[int], exemplars: Mapping[int, Exemplar]) -> Iterator[str]:
    count = 0
    bounds = [str(bound / family.scale) for bound in family.bounds]
    for bucket, (bound, fresh) in enumerate(zip([*bounds, "+Inf"], slots[:-1], strict=True)):
        count += fresh
        example = exemplars.get(bucket)
        shown = str(count) if example is None else f"{count} {_exemplar(example, family.scale)}"
        yield _sample(f"{family.name}_bucket", [*pairs, f'le="{bound}"'], shown)
    yield _sample(f"{family.name}_count", pairs, str(count))
    yield _sample(f"{family.name}_sum", pairs, decimal(slots[-1], family.scale))


def _exemplar(example: Exemplar, scale: int) -> str:
    return f'# {{trace_id="{example.trace}"}} {decimal(example.value, scale)} {decimal(example.at_us, 1_000_000)}'


def _sample(name: str, pairs: Sequence[str], value: str) -> str:
    return f"{name}{{{','.join(pairs)}}} {value}\n" if pairs else f"{name} {value}\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def decimal(value: int, scale: int) -> str:
    """`value / scale`, exactly; `scale` is a power of ten."""
    if scale == 1:
        return str(value)
    whole, rest = divmod(abs(value), scale)
    fraction = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"
