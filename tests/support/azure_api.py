"""Container Apps' objects, as Azure's own client has them: read from its source, which is not run."""

import ast
from typing import Any

from tests.support import packages

PACKAGE = ("azure-mgmt-appcontainers", "5.1.0")
SHA256 = "cf92a58c7bd609199da9530bf43c16e1c2725e4bb9e656c00c36a335e12947cb"
MODELS = "azure/mgmt/appcontainers/models/_models.py"
ENUMS = "azure/mgmt/appcontainers/models/_enums.py"
_PLAIN = {"str": "string", "int": "integer", "bool": "boolean", "float": "number"}


def container_apps() -> dict[str, Any] | None:
    """A JSON schema with `ContainerApp` and `Job` under `$defs`; None where it is not to be had."""
    folder = packages.wheel(*PACKAGE, SHA256, wanted=(MODELS, ENUMS))
    if folder is None:
        return None
    enums = {each.name: {"enum": _values(each)} for each in _classes((folder / ENUMS).read_text("utf-8"))}
    models = {each.name: each for each in _classes((folder / MODELS).read_text("utf-8"))}
    return {"$defs": enums | {name: _schema(each, models) for name, each in models.items()}}


def _classes(source: str) -> list[ast.ClassDef]:
    return [each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)]


def _values(described: ast.ClassDef) -> list[Any]:
    assigned = [each.value for each in described.body if isinstance(each, ast.Assign)]
    return [each.value for each in assigned if isinstance(each, ast.Constant)]


def _schema(described: ast.ClassDef, models: dict[str, ast.ClassDef]) -> dict[str, Any]:
    """With what it inherits. A field that is not described is none."""
    fields: dict[str, Any] = {}
    required: list[str] = []
    for base in described.bases:
        if isinstance(base, ast.Name) and base.id in models:
            inherited = _schema(models[base.id], models)
            fields |= inherited["properties"]
            required += inherited["required"]
    for each in described.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and isinstance(each.value, ast.Call):
            named = {word.arg: word.value for word in each.value.keywords}.get("name")
            name = str(named.value) if isinstance(named, ast.Constant) else each.target.id
            fields[name], is_optional = _type(each.annotation)
            if not is_optional:
                required.append(name)
    return {"type": "object", "properties": fields, "required": required, "additionalProperties": False}


def _type(written: ast.expr) -> tuple[dict[str, Any], bool]:
    """The schema of an annotation, and whether it may be left out."""
    match written:
        case ast.Constant(value=str() as name):
            return {"$ref": f"#/$defs/{name.rpartition('.')[2]}"}, False
        case ast.Name(id=name) if name in _PLAIN:
            return {"type": _PLAIN[name]}, False
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _type(inner)[0], True
        case ast.Subscript(value=ast.Name(id="list" | "List"), slice=inner):
            return {"type": "array", "items": _type(inner)[0]}, False
        case ast.Subscript(value=ast.Name(id="dict" | "Dict"), slice=ast.Tuple(elts=[_, inner])):
            return {"type": "object", "additionalProperties": _type(inner)[0]}, False
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=[ast.Name(id="str"), enum])):
            return _type(enum)[0], False
    return {}, False
