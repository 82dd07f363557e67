"""What a key gives away: nothing by the time that a wrong one takes, and nothing by what is stored of it."""

import base64
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from undercroft.access.keys import KeyRing, StoredKey, hash_secret, make_key
from undercroft.cli.main import main
from undercroft.record import Who

SALT = b"s" * 16
SECRET = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()
ID = "k3y1d2ab"
EACH = 300
"""Wrong keys for each number of characters that they share with the right one: more than 10,000 in all."""


def ring() -> KeyRing:
    keys = KeyRing()
    keys.replace([StoredKey(ID, hash_secret(SECRET, salt=SALT), Who(key=ID), frozenset({"ai"}))])
    return keys


def sharing(length: int, rng: random.Random) -> str:
    """A wrong secret with this many of the right one's characters at its beginning."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    rest = [rng.choice(alphabet.replace(SECRET[length], ""))]
    rest += [rng.choice(alphabet) for _ in range(len(SECRET) - length - 1)]
    return SECRET[:length] + "".join(rest)


def nanoseconds_for_each_character_shared(opens: Callable[[str], object]) -> float:
    """The slope of a line through the median times by the number of characters shared."""
    rng = random.Random(7)
    tried = [(length, sharing(length, rng)) for length in range(len(SECRET)) for _ in range(EACH)]
    rng.shuffle(tried)  # what else the machine does then hits all lengths alike
    took: dict[int, list[int]] = {length: [] for length in range(len(SECRET))}
    for length, secret in tried:
        began = time.perf_counter_ns()
        opens(secret)
        took[length].append(time.perf_counter_ns() - began)
    lengths = list(took)
    return statistics.linear_regression(lengths, [statistics.median(took[length]) for length in lengths]).slope


def leaky(secret: str) -> bool:
    """How it would be, compared character by character."""
    return all(given == right for given, right in zip(secret, SECRET, strict=True))


def test_a_wrong_key_takes_the_same_however_much_of_it_is_right() -> None:
    keys = ring()
    ours = nanoseconds_for_each_character_shared(lambda secret: keys.find(f"uc_{ID}_{secret}", now_us=0))
    control = nanoseconds_for_each_character_shared(leaky)
    print(f"{ours:.2f} ns for each character that is right; {control:.2f} ns where it is compared one by one")
    assert control > 0, "such a leak would be seen here"
    assert abs(ours) < control, "and is not"


def common(one: bytes, other: bytes) -> int:
    """How many bytes they begin with in common."""
    return next((place for place, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]), len(one))


def test_what_is_compared_says_nothing_of_the_secret_it_was_made_of() -> None:
    """However much of a secret is right, its hash shares no more of its beginning with the stored one than any does."""
    rng = random.Random(11)
    right = hash_secret(SECRET, salt=SALT)[len(SALT) :]
    shared = [
        common(right, hash_secret(sharing(length, rng), salt=SALT)[len(SALT) :])
        for length in range(len(SECRET))
        for _ in range(100)
    ]
    assert max(shared) <= 3, "of 4300 hashes of 32 bytes"


def test_an_unknown_id_pays_for_a_hash_as_a_known_one_does() -> None:
    keys, rng = ring(), random.Random(3)

    def median_ns(id: str) -> float:
        took = []
        for _ in range(500):
            text = f"uc_{id}_{sharing(5, rng)}"
            began = time.perf_counter_ns()
            assert keys.find(text, now_us=0) is None
            took.append(time.perf_counter_ns() - began)
        return statistics.median(took)

    known, unknown = median_ns(ID), median_ns("zzzzzzzz")
    print(f"{known:.0f} ns for an id that is there, {unknown:.0f} ns for one that is not")
    assert unknown * 10 > known
    assert known * 10 > unknown


def test_a_key_has_256_bits_that_no_other_has() -> None:
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    made = make_key(entropy).text.split("_", 2)[2]
    assert 32 in asked
    secrets = {make_key(os.urandom).text for _ in range(1000)}
    assert len(secrets) == 1000
    assert len(base64.urlsafe_b64decode(made + "=")) == 32


def test_a_copy_of_the_database_holds_no_usable_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "UNDERCROFT_CONFIG", "ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)

    def said(*words: str) -> str:
        assert main(["keys", *words, "--json"]) == 0
        key: str = msgspec.json.decode(capsys.readouterr().out)["key"]
        return key

    keys = [said("create") for _ in range(3)]
    keys.append(said("rotate", keys[0].split("_")[1]))
    assert stored(tmp_path, [key.encode() for key in keys]) == []
    assert stored(tmp_path, [key.split("_", 2)[2].encode() for key in keys]) == []


def stored(folder: Path, secrets: Sequence[bytes]) -> list[bytes]:
    """Those that are in some file of the installation."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert files
    return [secret for secret in secrets if any(secret in content for content in files)]
