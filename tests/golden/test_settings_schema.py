"""The JSON Schema of undercroft.toml, as it was reviewed."""

import json

from tests.support import golden
from undercroft.settings.model import Settings


def test_the_schema_is_the_reviewed_one() -> None:
    schema = json.dumps(Settings.model_json_schema(), indent=2, ensure_ascii=False)
    golden.compare("settings.schema.json", f"{schema}\n")
