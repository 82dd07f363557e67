"""What stays with one deployment, and how little moves when one is lost."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from undercroft.gateway.sticky import distances, key_of
from undercroft.llm.types import ChatRequest, CompletionRequest, EmbeddingsRequest, Message
from undercroft.record import Who

KEYS = [b"key-%d" % number for number in range(600)]


def talk(*texts: str, user: str = "") -> ChatRequest:
    """A conversation in which user and assistant take turns after a system message."""
    roles = ["system", *["user", "assistant"] * len(texts)]
    messages = tuple(Message(role=role, content=text) for role, text in zip(roles, texts, strict=False))
    return ChatRequest(model="m", messages=messages, end_user=user)


def nearest(key: bytes, ids: list[bytes], weights: list[int] | None = None) -> bytes:
    far = distances(key, ids, weights or [1] * len(ids))
    return ids[far.index(min(far))]


def test_every_turn_of_a_conversation_has_the_same_key() -> None:
    first = key_of("conversation", talk("be kind", "hi"), Who())
    assert first is not None
    assert key_of("conversation", talk("be kind", "hi", "hello", "and now?"), Who()) == first
    assert key_of("conversation", talk("be kind", "ho"), Who()) != first
    assert key_of("conversation", talk("be rude", "hi"), Who()) != first


def test_texts_do_not_run_into_each_other() -> None:
    assert key_of("conversation", talk("ab", "c"), Who()) != key_of("conversation", talk("a", "bc"), Who())


def test_a_user_is_the_requests_own_else_its_key_within_the_organisation() -> None:
    def key(user: str, **who: str) -> bytes | None:
        return key_of("user", talk("s", "x", user=user), Who(**who))

    assert key("ada") == key("ada", key="uc_1") != key("bob")
    assert key("ada") != key("ada", organisation="other")
    assert key("", key="uc_1") != key("", key="uc_2")
    assert key("") is None


def test_a_lone_half_of_a_character_pair_has_a_key_too() -> None:
    assert key_of("conversation", talk("s", "\ud83d"), Who()) is not None


def test_prompts_stay_together_and_vectors_go_anywhere() -> None:
    def prompt(*given: str | tuple[int, ...]) -> bytes | None:
        return key_of("conversation", CompletionRequest(model="m", prompts=given), Who())

    assert prompt("once") == prompt("once", "twice") != prompt("other")
    assert prompt((1, 2)) != prompt((1, 3))
    assert key_of("conversation", EmbeddingsRequest(model="m", inputs=("x",)), Who()) is None
    assert key_of("none", talk("s", "x", user="ada"), Who()) is None


@given(st.integers(2, 8), st.data())
def test_a_lost_deployment_moves_only_its_own_keys(count: int, data: st.DataObject) -> None:
    ids = [b"chat/%d" % place for place in range(count)]
    lost = data.draw(st.sampled_from(ids))
    left = [each for each in ids if each != lost]
    for key in KEYS[:100]:
        before = nearest(key, ids)
        after = nearest(key, left)
        assert after == before if before != lost else after in left


def test_keys_are_shared_out_by_weight() -> None:
    ids, weights = [b"a", b"b", b"c"], [1, 2, 3]
    seen = Counter(nearest(key, ids, weights) for key in KEYS)
    for each, weight in zip(ids, weights, strict=True):
        assert abs(seen[each] - len(KEYS) * weight / 6) < 60


@given(st.integers(2, 8))
def test_of_n_deployments_one_that_is_added_takes_about_its_share_and_nothing_else_moves(count: int) -> None:
    ids = [b"chat/%d" % place for place in range(count)]
    moved = [key for key in KEYS if nearest(key, ids) != nearest(key, [*ids, b"new"])]
    assert all(nearest(key, [*ids, b"new"]) == b"new" for key in moved)
    assert len(moved) <= len(KEYS) / (count + 1) * 1.5
