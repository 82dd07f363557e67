"""What is asked of the shape is what the model says."""

from undercroft.settings.shape import settings_shape

SHAPE = settings_shape()


def test_secrets_are_known_wherever_they_are() -> None:
    assert SHAPE.is_secret(("access", "master_key"))
    assert SHAPE.is_secret(("models", 7, "deployments", 7, "api_key"))
    assert SHAPE.is_secret(("provider_keys", "any"))
    assert not SHAPE.is_secret(("server", "host"))
    assert not SHAPE.is_secret(("no", "such"))


def test_all_names_are_the_settings_outside_lists() -> None:
    names = set(SHAPE.all_names())
    assert {("data_dir",), ("server", "limits", "max_body_bytes"), ("models",)} <= names
    assert ("server",) not in names


def test_there_is_nothing_inside_a_value() -> None:
    assert SHAPE.at(("server", "port", "x")) is None
    assert SHAPE.at(("server", 0)) is None


def test_a_list_says_what_it_may_hold() -> None:
    deployment = ("models", 0, "deployments", 0)
    assert SHAPE.takes((*deployment, "capabilities")).startswith('a list of "chat", "completions"')
    assert SHAPE.takes((*deployment, "tags")) == "a list of text"
