"""What secrets look like. Every pattern is linear: log lines may hold what strangers send.

Each begins with a literal (what may stand before it is looked at afterwards): `re` finds such patterns 50 times faster.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple


class Shape(NamedTuple):
    """`source` is worth trying where `marker` stands in the text (folded: in lower case); its group `secret` goes."""

    marker: str
    source: str
    folded: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """Compiled when first wanted: all of them at once are a part of every start that can be felt."""
        return _compiled(self.source)

    def hide(self, text: str, folded: str, replacement: str) -> str:
        """`text` with the secrets replaced. `folded` is the same text in lower case, character by character."""
        pieces: list[str] = []
        end = 0
        for match in self.pattern.finditer(folded if self.folded else text):
            start, stop = match.span("secret")
            pieces += (text[end:start], replacement)
            end = stop
        return "".join([*pieces, text[end:]]) if pieces else text


@cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source)


def beginning(literal: str = "", *, word: str = "A-Za-z0-9") -> str:
    """Where a secret may begin: not inside a word, but perhaps behind an escape such as `%3D` or `\\n`.

    `literal` is the part of the secret that stands before this look-behind.
    """
    return rf"(?:(?<![{word}]{literal})|(?<=%[0-9A-Fa-f][0-9A-Fa-f]{literal})|(?<=\\[nrt]{literal}))"


def _key(prefix: str, rest: str) -> Shape:
    """A provider's key: its prefix and what follows it."""
    return Shape(prefix, rf"(?P<secret>{prefix}{beginning(prefix)}{rest})")


_IS = r"""\\?["']?\s*+(?:[:=]|,\s*+(?=b?\\?["']))\s*+(?>b?(?:(?P<escaped>\\["'])|(?P<quote>["'])))?+"""
"""Between a name and its value: `=`, `: `, `": "`, and `', b'` in lists of headers."""
_REAL = r"""(?!\[redacted\]|(?:none|null|true|false|env:\w++|file:[^\s"']++|secret:\w++|\*++|%s)(?![\w-]))"""
"""Not a value that says nothing, or only where the secret is kept."""
_QUOTED = r"""(?(escaped)(?>(?!(?P=escaped)).)++|(?(quote)(?>\\.|(?!(?P=quote))[^\\])++|{}))"""
_WORD = _QUOTED.format(r"""[^\s"',;&)}\]]++""")
_LINE = _QUOTED.format(r"""[^"'\r\n]++""")


def _labelled(name: str, ending: str = "", *, value: str = _WORD, after: Iterable[str] = ()) -> Shape:
    """The value of a name; `after` are the words one of which must stand before it, joined by `_`, `-` or nothing."""
    before = "|".join(f"(?<={word}{joint}{name})" for word in after for joint in ("[_-]", ""))
    return Shape(name, rf"{name}{ending}(?:{before}){_IS}{_REAL}(?P<secret>{value})", folded=True)


_KINDS = (
    "api",
    "secret",
    "access",
    "private",
    "encryption",
    "master",
    "signing",
    "fernet",
    "auth",
    "session",
    "account",
)
_TOKENS = ("access", "refresh", "auth", "bearer", "api", "session", "id", "metrics", "bot", "csrf", "security")

LABEL: Final = re.compile(
    rf"(?i)(?:pass(?:word|wd|phrase)|secret|credentials?|(?:{'|'.join(_KINDS)})[_-]?key|(?:{'|'.join(_TOKENS)})[_-]?token"
    r"|(?:^|[_-])(?:token|cookie|authorization))$"
)
"""Names of fields whose value is a secret whatever it looks like (`tokens`, a number of them, is not one)."""

SHAPES: Final[tuple[Shape, ...]] = (
    Shape(
        "PRIVATE KEY-----",
        r"(?P<secret>-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z))",
    ),
    _key("sk-", r"[A-Za-z0-9_-]{8,}"),  # OpenAI, Anthropic (sk-ant-), OpenRouter, DeepSeek
    _key("uc_", r"[a-z0-9]{8}_[A-Za-z0-9_-]{16,}"),
    _key("AIza", r"[A-Za-z0-9_-]{30,}"),
    _key("gsk_", r"[A-Za-z0-9]{16,}"),
    _key("xai-", r"[A-Za-z0-9]{16,}"),
    _key("hf_", r"[A-Za-z0-9]{16,}"),
    _key("AKIA", r"[0-9A-Z]{16}"),
    _key("ASIA", r"[0-9A-Z]{16}"),
    _key("ghp_", r"[A-Za-z0-9]{20,}"),
    _key("github_pat_", r"[A-Za-z0-9_]{20,}"),
    _key("xox", r"[abeprs]-[A-Za-z0-9-]{10,}"),
    Shape(  # a JSON web token
        "eyJ",
        rf"(?P<secret>eyJ{beginning('eyJ', word='A-Za-z0-9_-')}"
        r"[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?)",
    ),
    Shape("://", r"""://[^\s/:@"']*+:(?P<secret>[^\s/"']+)(?=@)"""),
    _labelled("authorization", value=rf"(?>(?:basic|bearer|digest|token)\s++)?+{_WORD}"),
    Shape(
        "bearer",
        r"bearer(?>\s|%20|\+)++(?=\S{0,99}[0-9]|\S{20})(?P<secret>[a-z0-9._~+/=%-]{6,}+)",
        folded=True,
    ),
    _labelled("cookie", value=_LINE),
    _labelled("passw", "(?:or)?d"),
    _labelled("passphrase"),
    _labelled("secret"),
    _labelled("credentials"),
    _labelled("key", after=_KINDS),
    _labelled("token", after=_TOKENS),
    _labelled("token", value=r"(?=[\w.~+/=-]{0,99}[0-9])[\w.~+/=-]{12,}+"),
)

KEYS: Final = tuple(shape for shape in SHAPES if not shape.folded)
"""Those that are known by their look alone, whatever stands before them."""
