"""The JSON Schema of undercroft.toml, as it was reviewed."""

import json

from tests.support import golden
from undercroft.settings.described import settings_schema


def test_the_schema_is_the_reviewed_one() -> None:
    schema = json.dumps(settings_schema(), indent=2, ensure_ascii=False)
    golden.compare("settings.schema.json", f"{schema}\n")
