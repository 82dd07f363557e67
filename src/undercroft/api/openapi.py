"""The OpenAPI document of all routes, and the page people read it on."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from undercroft import __version__
from undercroft.assembly import Undercroft

REFUSALS: Final[Mapping[str, str]] = {
    "400": "The request cannot be understood.",
    "401": "No key, or one that is not known.",
    "403": "The key may not do this.",
    "404": "There is no such thing.",
    "409": "It does not go with what is there.",
    "413": "The body is too large.",
    "429": "Too many requests.",
    "503": "The database, or something else that is needed, is away.",
}
NOT_OURS: Final = ("HTTPValidationError", "ValidationError")


def document(undercroft: Undercroft) -> dict[str, Any]:
    """The AI routes as `wire` describes them, joined by the management API as FastAPI describes it."""
    from undercroft.api.manage import management_app, plans
    from undercroft.wire.openapi import document as wire_document

    merged = wire_document(version=__version__)
    managed = management_app(undercroft).openapi()
    for path, item in managed["paths"].items():
        merged["paths"]["/api/v1" + path] = item
        for operation in item.values():
            _as_we_refuse(operation["responses"])
    schemas = merged.setdefault("components", {}).setdefault("schemas", {})
    theirs = managed.get("components", {}).get("schemas", {})
    schemas.update({name: schema for name, schema in theirs.items() if name not in NOT_OURS})
    schemas.update(plans.schemas())
    return merged


def _as_we_refuse(answers: dict[str, Any]) -> None:
    """FastAPI describes what it would say to a wrong request; that is 400 here, in the envelope of all routes."""
    answers.pop("422", None)
    for status, meaning in REFUSALS.items():
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
        answers.setdefault(status, {"description": meaning, "content": content})


def reference(document: Mapping[str, Any]) -> str:
    """The document as HTML: a folded section a route, with its parameters, body and answers."""
    parts = [
        f"<h1>{_text(document['info']['title'])}</h1>",
        '<p class="soft">The same for programs: <a href="openapi.json">openapi.json</a></p>',
    ]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            parts.append(_operation(method, path, operation))
    parts.append("<h2>Schemas</h2>")
    parts += [_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    summary = operation.get("summary") or operation.get("description") or ""
    verb = f'<span class="verb">{method.upper()}</span>'
    lines = [f"<details><summary>{verb} <code>{_text(path)}</code> {_text(summary)}</summary>"]
    if operation.get("description") and operation.get("description") != summary:
        lines.append(f"<p>{_text(operation['description'])}</p>")
    parameters = operation.get("parameters", ())
    if parameters:
        rows = [(p["name"], p["in"], _type(p.get("schema", {})), p.get("description", "")) for p in parameters]
        lines.append(_table(("parameter", "in", "type", ""), rows))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        lines.append(f"<p>Body ({_text(media)}): {_link(content.get('schema', {}))}</p>")
    answers = []
    for status, answer in operation.get("responses", {}).items():
        schemas = {media: content.get("schema", {}) for media, content in answer.get("content", {}).items()}
        shown = "<br>".join(f"{_text(media)}: {_link(schema)}" for media, schema in schemas.items())
        answers.append(
            f"<tr><td>{_text(status)}</td><td>{_text(answer.get('description', ''))}</td><td>{shown}</td></tr>"
        )
    lines.append("<table><tr><th>status</th><th></th><th></th></tr>" + "".join(answers) + "</table></details>")
    return "\n".join(lines)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        f"<tr><td><code>{_text(field)}</code></td><td>{_link(inner)}</td>"
        f"<td>{'required' if field in required else ''}</td><td>{_text(inner.get('description', ''))}</td></tr>"
        for field, inner in schema.get("properties", {}).items()
    ]
    body = "<table>" + "".join(rows) + "</table>" if rows else f"<p>{_link(schema)}</p>"
    summary = f"<summary><code>{_text(name)}</code> {_text(schema.get('description', ''))}</summary>"
    return f'<details id="{_text(name)}">{summary}{body}</details>'


def _link(schema: Mapping[str, Any]) -> str:
    """A schema's type, with links to the named ones."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(_link(inner) for inner in schema[union])
    if schema.get("type") == "array":
        return f"list of {_link(schema.get('items', {}))}"
    return _text(_type(schema))


def _type(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(value: object) -> str:
    import html  # as in pages.py

    return html.escape(str(value))
