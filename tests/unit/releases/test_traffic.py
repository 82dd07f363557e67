from undercroft.releases.traffic import Traffic, place
from undercroft.versions.pinned import Pinned

STABLE, CANDIDATE = Pinned(id="rel_a", alias="chat"), Pinned(id="rel_b", alias="chat")
USERS = [f"user {number}".encode() for number in range(4000)]


def traffic(share: float, *, mirror: float = 0.0, salt: bytes = b"rollout_1") -> Traffic:
    return Traffic(stable=STABLE, candidate=CANDIDATE, share=share, mirror=mirror, salt=salt)


def seeing(share: float, salt: bytes = b"rollout_1") -> set[bytes]:
    return {user for user in USERS if traffic(share, salt=salt).answering(user) is CANDIDATE}


def test_as_many_users_see_the_candidate_as_the_share_says() -> None:
    assert 0.08 < len(seeing(0.1)) / len(USERS) < 0.12


def test_whoever_has_seen_the_candidate_goes_on_seeing_it() -> None:
    assert seeing(0.05) < seeing(0.25) < seeing(0.5) < seeing(1.0) == set(USERS)


def test_another_rollout_begins_with_other_users() -> None:
    first, second = seeing(0.1), seeing(0.1, salt=b"rollout_2")

    assert len(first & second) < len(first) / 2


def test_without_a_candidate_everybody_has_the_stable_release() -> None:
    assert Traffic(stable=STABLE, share=1.0).answering(b"x") is STABLE
    assert Traffic(stable=STABLE, mirror=1.0).mirrored(b"x") is None


def test_a_mirrored_candidate_answers_nobody() -> None:
    assert traffic(0.0, mirror=1.0).answering(b"x") is STABLE
    assert traffic(0.0, mirror=1.0).mirrored(b"x") is CANDIDATE


def test_a_place_is_in_range_and_stays() -> None:
    assert all(0 <= place(b"s", user) < 1 for user in USERS)
    assert place(b"s", b"u") == place(b"s", b"u")
