"""Every setting is described."""

from undercroft.settings.described import settings_schema


def test_every_setting_and_section_says_what_it_is_for() -> None:
    definitions = settings_schema()["$defs"]
    silent = [
        f"{section}.{name}"
        for section, definition in definitions.items()
        for name, setting in definition.get("properties", {}).items()
        if not setting.get("description") and "$ref" not in setting
    ]
    assert silent == []
    assert [section for section, definition in definitions.items() if not definition.get("description")] == []
