"""No secret gets out, and nothing else is touched."""

import base64
import json
import logging
import string
import sys
import time
from dataclasses import dataclass, field
from io import StringIO
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from undercroft.telemetry.redaction import REPLACEMENT, Redactor, SensitiveFilter, secrets_in
from undercroft.telemetry.shapes import SHAPES

SECRET = "canary-4f6Qz9-Wm2Lk7"

SHAPED = [
    "sk-proj-abcDEF123456_-xyz",
    "sk-ant-api03-abcDEF123456_-xyz",
    "AIza" + "Sy0123456789abcdefghijABCDEFGHIJ_-x",
    "gsk_abcdefghij0123456789",
    "xai-abcdefghij0123456789",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "uc_abcd2345_" + "a1B2c3D4" * 5 + "xyz",
    "ghp_" + "a1B2c3D4" * 5,
    "xoxb-123456789012-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
]

LABELLED = [
    "password={}",
    "password: {}",
    '{{"password": "{}"}}',
    "{{'api_key': '{}'}}",
    r"{{\"client_secret\": \"{}\", \"a\": 1}}",
    "X-Api-Key: {}",
    "[(b'x-api-key', b'{}')]",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "{{'authorization': 'Bearer {}'}}",
    "bearer {}",
    "Cookie: session={}; other={}",
    "Set-Cookie: id={}",
    "https://host/path?api_key={}&b=c",
    "postgresql://user:{}@db:5432/app",
    "redis://:{}@cache:6379",
    "ENCRYPTION_KEY={}",
    "AWS_SECRET_ACCESS_KEY={}",
    "access_token={}",
    "token={}",
]

HARMLESS = [
    "",
    "tokens=15 max_tokens=100 total_tokens: 7",
    "disk-full-error-happened-again",
    "the password is wrong",
    'api_key = "env:OPENAI_API_KEY"',
    "api_key: None, secret: null, password=''",
    "http://127.0.0.1:8000/v1/models",
    "Bearer token authentication",
    "Unexpected token: IDENTIFIER",
    "cache_key=abc key=chat/0 idempotency",
    "https://example.com/?email=joe@example.com",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "req_0198c0ffee00deadbeef0123456789ab",
    "İstanbul ẞ ﬁ",
    "100 %s %(name)s {braces}",
]


@pytest.mark.parametrize("secret", SHAPED)
@pytest.mark.parametrize("around", ["{}", "key {} used", '"{}"', "x={}", "({})", "url%3D{}", "line\\n{}"])
def test_what_looks_like_a_key_goes_wherever_it_stands(secret: str, around: str) -> None:
    assert Redactor().text(around.format(secret)) == around.format(REPLACEMENT)


def test_a_private_key_whose_end_is_missing_goes_too() -> None:
    assert Redactor().text("key: -----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA") == f"key: {REPLACEMENT}"


@pytest.mark.parametrize("line", LABELLED)
def test_what_is_called_a_secret_goes_whatever_it_looks_like(line: str) -> None:
    shown = Redactor().text(line.format("Tr0ub4dor-and-3", "Tr0ub4dor-and-3"))
    assert "Tr0ub4dor" not in shown
    assert REPLACEMENT in shown


@pytest.mark.parametrize("line", HARMLESS)
def test_an_ordinary_line_stays_the_same_object(line: str) -> None:
    assert Redactor([SECRET]).text(line) is line


@pytest.mark.parametrize("known", [(), ("",), ("  ",), ("x", "1", "abc"), ("true", "none")])
def test_without_a_real_secret_nothing_changes(known: tuple[str, ...]) -> None:
    line = "x1abc: true or none, 1 of abc"
    assert Redactor(known).text(line) is line


def test_redacting_twice_is_redacting_once() -> None:
    redactor = Redactor([SECRET])
    for line in [*LABELLED, *SHAPED, SECRET]:
        once = redactor.text(line.replace("{}", "Tr0ub4dor-and-3"))
        assert redactor.text(once) == once


secrets = st.text(string.ascii_letters + string.digits + "+/=-_.~!$&'\"\\ @:%é☃\n", min_size=8, max_size=40).map(
    str.strip
)
surroundings = st.text(max_size=40)


@given(before=surroundings, secret=secrets, after=surroundings, shift=st.binary(max_size=2))
def test_a_known_secret_survives_nowhere_and_in_no_encoding(before: str, secret: str, after: str, shift: bytes) -> None:
    assume(len(secret) >= 8 and not secret.isalpha() and secret not in REPLACEMENT)
    redactor = Redactor([secret])
    encoded = base64.b64encode(shift + secret.encode() + b"tail").decode()
    # What is left of base64 after its whole characters is at most a few bits of the secret's ends.
    core = encoded[4 if shift else 0 :][: len(secret.encode()) * 8 // 6 - 4]
    written = [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    ]
    for form in written:
        assert form not in redactor.text(f"{before}{form}{after}")
    for form in (encoded, encoded.replace("+", "-").replace("/", "_")):
        assert core not in redactor.text(f"{before}{form}{after}")


@given(
    secret=st.text(string.ascii_lowercase, min_size=4, max_size=15),
    space=st.sampled_from([" ", "=", "/", '"', "\n", "%20", "\\n"]),
)
def test_a_secret_that_could_be_a_word_goes_where_it_stands_alone(secret: str, space: str) -> None:
    assume(secret not in {"true", "false", "none", "null", "auto", "disabled", "enabled"})
    shown = Redactor([secret]).text(f"0{space}{secret} {secret}1")
    assert shown == f"0{space}{REPLACEMENT} {secret}1"


def test_a_secret_inside_another_takes_nothing_from_it() -> None:
    assert Redactor(["abcd-1234", "abcd-1234-efgh"]).text("abcd-1234-efgh abcd-1234") == f"{REPLACEMENT} {REPLACEMENT}"


def test_the_environment_names_its_secrets() -> None:
    found = set(
        secrets_in(
            {
                "OPENAI_API_KEY": "openai",
                "ENCRYPTION_KEY": "first, second",
                "HF_TOKEN": "hf",
                "DB_PASSWORD": "db",
                "CLIENT_SECRET": "client",
                "DATABASE_URL": "postgresql://u:p%40ss@db/app",
                "HTTPS_PROXY": "http://u:proxy@host:3128",
                "SENTRY_DSN": "https://public@sentry/1",
                "OPENAI_API_KEY_FILE": "/run/secrets/openai",
                "AWS_ACCESS_KEY_ID": "id",
                "HOME": "/root",
                "KEYBOARD": "us",
                "PWD": "/work",
                "BROKEN": "http://[::1@",
            }
        )
    )
    assert found == {
        *("openai", "first, second", "first", "second", "hf", "db", "client"),
        *("p%40ss", "p@ss", "proxy", "https://public@sentry/1"),
    }


@dataclass
class Credentials:
    user: str
    code: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.user}:{self.code}"


def test_values_are_searched_at_any_depth_and_never_changed_in_place() -> None:
    given_value = {
        "list": [SECRET, 1, ("a", SECRET)],
        SECRET: {"deep": [[[SECRET]]]},
        "object": Credentials("u", SECRET),
    }
    before = repr(given_value)
    shown = Redactor([SECRET]).value(given_value)
    assert SECRET not in str(shown)
    assert repr(given_value) == before
    assert shown["list"][1] == 1


def test_what_holds_no_secret_comes_back_as_it_is() -> None:
    redactor = Redactor([SECRET])
    for value in ({"a": [1, 2.5, None, True, {"b": ("c",)}]}, {1, 2}, ("a", "b"), object(), b"bytes"):
        assert redactor.value(value) is value


def test_a_field_called_password_is_one_and_one_called_tokens_is_not() -> None:
    shown = Redactor().value({"password": "x", "openai_api_key": "y", "tokens": 5, "headers": [(b"x-api-key", b"z")]})
    assert shown == {
        "password": REPLACEMENT,
        "openai_api_key": REPLACEMENT,
        "tokens": 5,
        "headers": [(b"x-api-key", REPLACEMENT)],
    }


def test_sets_and_lists_under_a_secret_name_are_searched_too() -> None:
    redactor = Redactor([SECRET])
    assert redactor.value({SECRET, "a"}) == {REPLACEMENT, "a"}
    assert redactor.value({"Set-Cookie": ["a=b", "", 5]}) == {"Set-Cookie": [REPLACEMENT, "", 5]}
    assert redactor.value({"password": None, "token": {"left": 5}}) == {"password": None, "token": {"left": 5}}


def test_what_only_the_repr_shows_counts_as_well() -> None:
    class Shy:
        def __repr__(self) -> str:
            return SECRET

        def __str__(self) -> str:
            return "shy"

    assert Redactor([SECRET]).value(Shy()) == REPLACEMENT


def test_an_exception_already_written_by_another_handler_is_cleaned() -> None:
    record = logging.makeLogRecord({"msg": "failed", "exc_text": f"ValueError: {SECRET}"})
    assert Redactor([SECRET]).record(record).exc_text == f"ValueError: {REPLACEMENT}"


def test_a_number_with_a_format_of_its_own_may_hold_a_secret() -> None:
    class Odd:
        def __int__(self) -> int:
            return 12_345_678

        def __str__(self) -> str:
            return SECRET

    record = logging.makeLogRecord({"msg": "%d", "args": (Odd(),)})
    assert Redactor([SECRET]).record(record).getMessage() == "12345678"


def test_a_cycle_ends() -> None:
    cycle: list[Any] = [SECRET]
    cycle.append(cycle)
    assert SECRET not in str(Redactor([SECRET]).value(cycle))


def test_it_serves_as_a_structlog_processor() -> None:
    event = Redactor([SECRET]).event(None, "info", {"event": f"key {SECRET}", "authorization": "Bearer abc", "n": 1})
    assert event == {"event": f"key {REPLACEMENT}", "authorization": REPLACEMENT, "n": 1}


class Logged:
    """A logger with a filter on its handler, and what a plain formatter makes of its records."""

    def __init__(self, format: str = "%(message)s", **known: Any) -> None:
        self.text = StringIO()
        self.logger = logging.Logger("test")  # noqa: LOG001 - one of its own, without the root's handlers
        handler = logging.StreamHandler(self.text)
        handler.setFormatter(logging.Formatter(format))
        handler.addFilter(SensitiveFilter(**known))
        self.logger.addHandler(handler)

    def __str__(self) -> str:
        return self.text.getvalue()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    monkeypatch.setenv("CANARY_API_KEY", SECRET)
    return Logged("%(message)s %(extra)s")


class Broken:
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        (f"plain {SECRET}", ()),
        ("argument %s", (SECRET,)),
        ("repr %r", ([SECRET],)),
        ("named %(key)s", ({"key": SECRET},)),
        ("object %s", (Credentials("u", SECRET),)),
        ("exception %s", (ValueError(SECRET),)),
        ({"event": SECRET}, ()),
        (ValueError(SECRET), ()),
        ("too few %s %s", (SECRET,)),
        (f"too many {SECRET}", (1, 2)),
        ("not a number %d", (SECRET,)),
        ("split password=%s", ("Tr0ub4dor-and-3",)),
        ("bytes %s", (SECRET.encode(),)),
        ("broken %s", (Broken(),)),
        ("number %d and %s", (5, SECRET)),
        (f"its name %({SECRET})s", ({SECRET: "x"},)),
    ],
)
def test_no_message_and_no_argument_shows_a_secret(
    logged: Logged, message: object, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    logged.logger.warning(message, *arguments, extra={"extra": [SECRET]})
    shown = str(logged) + "".join(capsys.readouterr())
    assert SECRET not in shown
    assert "Tr0ub4dor" not in shown
    assert REPLACEMENT in str(logged)


def test_a_message_without_secrets_is_formatted_as_ever(logged: Logged) -> None:
    logged.logger.info("%5.2f of %d %s %%", 1.5, 3, {1}, extra={"extra": ""})
    assert str(logged) == " 1.50 of 3 {1} % \n"


def test_exceptions_causes_groups_notes_and_stacks_are_clean(logged: Logged) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            error = ExceptionGroup("several", [ValueError(SECRET), RuntimeError("fine")])
            error.add_note(f"with {SECRET}")
            raise error from cause
    except ExceptionGroup:
        logged.logger.exception("failed", stack_info=True, extra={"extra": ""})
    assert SECRET not in str(logged)
    assert "RuntimeError: fine" in str(logged)
    assert "Stack (most recent call last)" in str(logged)


def test_an_exception_without_secrets_keeps_its_object() -> None:
    error = ValueError("fine")
    record = logging.makeLogRecord({"msg": "failed", "exc_info": (ValueError, error, None)})
    assert SensitiveFilter().filter(record)
    assert record.exc_info == (ValueError, error, None)


def test_arguments_keep_their_places_for_formatters_that_take_them_apart() -> None:
    record = logging.makeLogRecord({"msg": '%s - "%s %s" %d', "args": ("host", "GET", f"/?k={SECRET}", 200)})
    clean = Redactor([SECRET]).record(record)
    assert clean.args == ("host", "GET", f"/?k={REPLACEMENT}", 200)


def test_the_callers_own_objects_are_left_alone(logged: Logged) -> None:
    arguments = {"key": SECRET, "list": [SECRET]}
    logged.logger.info("%(key)s", arguments, extra={"extra": arguments})
    assert arguments == {"key": SECRET, "list": [SECRET]}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="earlier filters cannot hand on a copy")
def test_other_handlers_get_the_record_as_it_was() -> None:
    logged = Logged(known=[SECRET])
    other = StringIO()
    logged.logger.addHandler(logging.StreamHandler(other))
    logged.logger.info(SECRET)
    assert SECRET not in str(logged)
    assert other.getvalue() == f"{SECRET}\n"


def test_the_filter_still_filters_by_name() -> None:
    assert not SensitiveFilter("a").filter(logging.makeLogRecord({"name": "b"}))
    assert SensitiveFilter("a").filter(logging.makeLogRecord({"name": "a.b"}))


def test_secrets_are_read_when_the_filter_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged()
    monkeypatch.setenv("LATER_API_KEY", "later-secret-1")
    logged.logger.info("later-secret-1")
    assert str(logged) == "later-secret-1\n"


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.marker)
def test_no_line_takes_long_however_it_is_made(shape: Any) -> None:
    marker = shape.marker
    evil = [
        marker,
        f"{marker}=",
        f'{marker}="',
        f"{marker}: ",
        f"{marker}\\'",
        f"a_{marker}=a",
        f"-----BEGIN {marker}",
        f"{marker}a:",
    ]
    redactor = Redactor()
    started = time.perf_counter()
    for piece in evil:
        redactor.text(piece * (50_000 // len(piece)))
        redactor.text(piece + "a" * 50_000)
        redactor.text(piece + " " * 50_000)
    assert time.perf_counter() - started < 5  # a quadratic pattern takes minutes
