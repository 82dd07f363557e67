"""What every model provider owes, as claims that any implementation can be run against.

    @pytest.mark.parametrize("claim", chat_claims(Abilities(tools=False)), ids=name_of)
    def test_my_provider(claim: Claim) -> None:
        check(claim, open_subject)      # an async context manager that yields a Subject

A claim raises AssertionError with a sentence that says what was promised and what came instead.
"""

from undercroft.testing.providers import chats, completions, embeddings, moderations, refusing
from undercroft.testing.providers.subject import EVERYTHING, Abilities, Claim, Subject, check, name_of

__all__ = [
    "Abilities",
    "Claim",
    "Subject",
    "chat_claims",
    "check",
    "completion_claims",
    "embedding_claims",
    "moderation_claims",
    "name_of",
]


def chat_claims(abilities: Abilities = EVERYTHING) -> list[Claim]:
    """What a ChatProvider of these abilities owes."""
    return [
        chats.a_whole_answer_has_text_and_ends,
        chats.a_stream_ends_each_choice_once,
        chats.a_stream_and_a_whole_answer_are_both_read_by_reply_read,
        *([chats.long_streams_come_in_pieces] if abilities.pieces else []),
        *([chats.usage_is_told_either_way] if abilities.usage else []),
        *([chats.max_tokens_cuts_the_answer] if abilities.limits else []),
        *([chats.a_stop_sequence_ends_the_answer_before_it] if abilities.stops else []),
        *([chats.every_choice_asked_for_is_given] if abilities.choices else []),
        *([chats.a_required_tool_is_called, chats.a_required_tool_is_called_in_a_stream] if abilities.tools else []),
        *([chats.a_schema_is_obeyed] if abilities.schemas else []),
        chats.a_closed_reply_stops_its_upstream,
        chats.a_reply_can_be_closed_before_it_is_read,
        chats.a_cancelled_call_leaves_nothing_running,
        chats.several_calls_run_at_once,
        refusing.errors_are_of_the_allowed_kinds,
    ]


def completion_claims(abilities: Abilities = EVERYTHING) -> list[Claim]:
    """What a CompletionProvider of these abilities owes."""
    return [
        completions.a_prompt_is_continued,
        completions.a_continuation_can_be_streamed,
        *([completions.every_prompt_gets_its_choices] if abilities.choices else []),
        refusing.errors_are_of_the_allowed_kinds,
    ]


def moderation_claims() -> list[Claim]:
    """What a ModerationProvider owes."""
    return [
        moderations.every_input_gets_a_verdict_in_order,
        moderations.a_verdict_is_made_of_categories_and_scores,
        moderations.the_same_text_gets_the_same_verdict,
        refusing.errors_are_of_the_allowed_kinds,
    ]


def embedding_claims() -> list[Claim]:
    """What an EmbeddingProvider owes."""
    return [
        embeddings.every_input_gets_a_vector_in_order,
        embeddings.vectors_are_float32_of_one_width,
        embeddings.embedding_several_at_once_changes_nothing,
        refusing.errors_are_of_the_allowed_kinds,
    ]
