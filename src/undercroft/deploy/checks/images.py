"""Names of images, and variables that hold secrets: what compose, Kubernetes and Dockerfiles are all asked."""

import re
from typing import Final

_SECRET_NAME: Final = re.compile(r"(^|_)(KEY|KEYS|PASSWORD|PASSWD|SECRET|TOKEN|DSN)$")
_CREDENTIALS: Final = re.compile(r"://[^/@\s:]*:[^/@\s$]+@")

DATABASE_PORTS: Final = frozenset({1433, 3306, 5432, 6333, 6334, 6379, 9042, 9200, 11211, 27017})
"""Ports of databases, caches and brokers, which nobody outside should reach."""


def unpinned(image: str) -> str:
    """Why an image may be another one tomorrow; empty where it will not."""
    name = image.rpartition("/")[2]
    if "@" in image or image.startswith("$"):
        return ""
    _, separator, tag = name.partition(":")
    if not separator:
        return "has no tag, so it is whatever was newest when it was pulled; write one"
    return (
        "is tagged latest, so it is whatever was newest when it was pulled; write a version" if tag == "latest" else ""
    )


def is_secret_in_clear(name: str, value: str) -> bool:
    """Whether a variable's value is a secret that stands in the file itself."""
    if not value or "${" in value:
        return False
    return bool(_SECRET_NAME.search(name) or _CREDENTIALS.search(value))
