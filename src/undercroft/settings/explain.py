"""The words for what is wrong with the settings: where, what was got, what is taken, and the nearest valid name."""

import json
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from undercroft.settings.draft import dotted
from undercroft.settings.locate import Place
from undercroft.settings.shape import Shape

MASK: Final = "[REDACTED]"


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, if any is."""
    import difflib  # where something is wrong, not at every start

    found = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    candidate = nearest(name, candidates)
    return f"; did you mean {candidate!r}?" if candidate else ""


def unknown_setting(place: Place, shape: Shape) -> str:
    """For a key that no table has: the nearest of the same table, or the section it belongs in."""
    name, table = str(place[-1]), place[:-1]
    known = shape.names(table)
    message = f"{dotted(place)} is not a setting"
    if near := nearest(name, known):
        return f"{message}; did you mean {dotted((*table, near))!r}?"
    if elsewhere := [dotted(other) for other in shape.all_names() if other[-1] == name]:
        return f"{message}; did you mean {elsewhere[0]!r}?"
    return f"{message}; {f'[{dotted(table)}]' if table else 'the file'} takes {', '.join(known)}"


def wrong_value(place: Place, got: Any, shape: Shape) -> str:
    """For a value of the wrong type or outside its bounds."""
    schema = shape.at(place) or {}
    # Text where a table or list is wanted may be the secret that belongs inside.
    is_misplaced = isinstance(got, str) and schema.get("type") in ("object", "array")
    what = "text" if is_misplaced else shown(got, secret=shape.is_secret(place))
    message = f"{dotted(place)} takes {shape.takes(place)}, got {what}"
    choices = schema.get("enum")
    if choices and isinstance(got, str):
        message += did_you_mean(got, choices)
    return message


def missing_setting(place: Place, shape: Shape) -> str:
    return f"{dotted(place)} is missing; it takes {shape.takes(place)}"


def shown(value: Any, *, secret: bool = False) -> str:
    """A value as an error may show it: short, and only the kind of what could hold a secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if secret:
        return MASK if isinstance(value, str) else "what is not text"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def masked_url(url: str) -> str:
    """The address without its credentials and parameters; all of it is masked where the parts are in doubt."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    # An unescaped / ? or # in a password moves the rest of it, and the @, behind the host.
    if not parts.scheme or "@" in parts.path + parts.query + parts.fragment:
        return MASK
    user, at, host = parts.netloc.rpartition("@")
    query = f"?{MASK}" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{MASK + at if user else ''}{host}{parts.path}{query}"
