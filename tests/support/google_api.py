"""Cloud Run's objects, as Google's own description of its API has them."""

import json
from typing import Any

from tests.support import packages

PACKAGE = ("google-api-python-client", "2.202.0")
SHA256 = "aaa90064c9bb642ff1d065b22ca8958a2cb6e345909cefe70d0e5452fc50e08b"
DOCUMENT = "googleapiclient/discovery_cache/documents/run.v1.json"


def cloud_run() -> dict[str, Any] | None:
    """A JSON schema with `Service`, `Job` and `WorkerPool` under `$defs`; None where it is not to be had."""
    folder = packages.wheel(*PACKAGE, SHA256, wanted=(DOCUMENT,))
    if folder is None:
        return None
    described = json.loads((folder / DOCUMENT).read_text("utf-8"))["schemas"]
    return {"$defs": {name: _schema(each) for name, each in described.items()}}


def _schema(described: dict[str, Any]) -> dict[str, Any]:
    """A field that is not described is none: the API would refuse it, or worse, not see it."""
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    match described.get("type"):
        case "object" if "additionalProperties" in described:
            return {"type": "object", "additionalProperties": _schema(described["additionalProperties"])}
        case "object":
            fields = {name: _schema(each) for name, each in described.get("properties", {}).items()}
            return {"type": "object", "properties": fields, "additionalProperties": False}
        case "array":
            return {"type": "array", "items": _schema(described["items"])}
        case "any" | None:
            return {}
        case "string" if described.get("format") == "int64":
            return {"type": ["string", "integer"]}
        case kind if "enum" in described:
            return {"type": kind, "enum": described["enum"]}
        case kind:
            return {"type": kind}
