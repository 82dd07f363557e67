"""Encryption keys under a passphrase."""

import msgspec
import pytest

from undercroft.access.secrets import fresh_key
from undercroft.backups.keys import SealedKeys, seal, unseal
from undercroft.errors import InvalidRequest

PASSPHRASE = "correct horse battery"


def test_the_passphrase_opens_what_it_has_sealed() -> None:
    keys = (fresh_key(), fresh_key())

    sealed = seal(keys, PASSPHRASE)

    assert unseal(msgspec.json.decode(msgspec.json.encode(sealed), type=SealedKeys), PASSPHRASE) == keys
    assert not any(key in sealed.token for key in keys)


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(InvalidRequest, match="not the one that the backup was made with"):
        unseal(seal([fresh_key()], PASSPHRASE), PASSPHRASE + "!")


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="needs 12 characters"):
        seal([fresh_key()], "short")


def test_keys_that_want_endless_work_are_refused_unopened() -> None:
    sealed = msgspec.structs.replace(seal([fresh_key()], PASSPHRASE), n=2**30)

    with pytest.raises(InvalidRequest, match="more work"):
        unseal(sealed, PASSPHRASE)
