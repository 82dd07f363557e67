"""Messages say what helps and keep what is secret."""

import pytest

from undercroft.settings.explain import masked_url, missing_setting, nearest, shown, unknown_setting, wrong_value
from undercroft.settings.shape import settings_shape

SHAPE = settings_shape()


def test_an_unknown_key_names_the_nearest_of_its_table() -> None:
    assert unknown_setting(("server", "prot"), SHAPE) == "server.prot is not a setting; did you mean 'server.port'?"


def test_a_key_in_the_wrong_section_names_the_right_one() -> None:
    assert unknown_setting(("server", "master_key"), SHAPE).endswith("did you mean 'access.master_key'?")


def test_a_key_like_no_other_is_answered_with_all_there_are() -> None:
    assert unknown_setting(("access", "zzz"), SHAPE) == "access.zzz is not a setting; [access] takes master_key"


@pytest.mark.parametrize(
    ("place", "got", "message"),
    [
        (("server", "port"), "x", 'server.port takes a whole number from 0 to 65535, got "x"'),
        (("server", "workers"), 0, "server.workers takes a whole number above 0, got 0"),
        (("egress", "keep_alive_s"), True, "egress.keep_alive_s takes a number above 0, got true"),
        (("telemetry", "log_content"), "y", 'telemetry.log_content takes true or false, got "y"'),
        (("server", "host"), "", 'server.host takes text that is not empty, got ""'),
        (("server", "allowed_hosts"), "a", "server.allowed_hosts takes a list of text, got text"),
        (("models",), {"a": "hunter2"}, "models takes a list of tables, got a table"),
        (("access",), "hunter2", "access takes a table, got text"),
        (("access", "master_key"), 5, "access.master_key takes text, got what is not text"),
        (("models", 0, "name"), "", 'models[0].name takes text of 1 to 200 characters, got ""'),
    ],
)
def test_a_wrong_value_is_told_with_what_is_taken(place: tuple[str | int, ...], got: object, message: str) -> None:
    assert wrong_value(place, got, SHAPE) == message


def test_a_wrong_choice_names_the_nearest() -> None:
    assert wrong_value(("telemetry", "log_level"), "warn", SHAPE).endswith("; did you mean 'warning'?")


def test_a_missing_setting_says_what_it_takes() -> None:
    assert (
        missing_setting(("models", 0, "name"), SHAPE)
        == "models[0].name is missing; it takes text of 1 to 200 characters"
    )


def test_long_values_are_cut() -> None:
    assert len(shown("x" * 1000)) == 60


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("redis://:pw@cache/0", "redis://[REDACTED]@cache/0"),
        ("postgresql://u:p@ss@h/d?password=pw", "postgresql://[REDACTED]@h/d?[REDACTED]"),
        ("postgres://u:p/w@h/d", "[REDACTED]"),
        ("postgres://u:p#w@h/d", "[REDACTED]"),
        ("http://[x", "[REDACTED]"),
        ("no address", "[REDACTED]"),
    ],
)
def test_an_address_loses_its_credentials_and_more_when_in_doubt(url: str, masked: str) -> None:
    assert masked_url(url) == masked


def test_nothing_is_near_to_something_quite_different() -> None:
    assert nearest("zzz", ("port", "host")) is None
