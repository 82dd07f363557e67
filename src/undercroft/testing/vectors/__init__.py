"""What every vector store owes, as claims that any implementation can be run against.

@pytest.mark.parametrize("claim", vector_claims(MyStore.abilities), ids=name_of)
def test_my_store(claim: Claim) -> None:
    asyncio.run(claim(Subject(store=mine, numbers=numbers)))
"""

from undercroft.testing.vectors import (
    collections_claims,
    filtering_claims,
    points_claims,
    refusing_claims,
    searching_claims,
    words_claims,
)
from undercroft.testing.vectors.subject import Claim, Subject
from undercroft.vectors.types import Abilities

__all__ = ["Claim", "Subject", "vector_claims"]


def vector_claims(abilities: Abilities) -> list[Claim]:
    """What a VectorStore of these abilities owes."""
    claims: list[Claim] = [
        collections_claims.a_collection_is_made_once,
        collections_claims.a_collection_of_another_kind_is_in_the_way,
        collections_claims.a_collection_that_is_not_there_is_said_so,
        collections_claims.a_dropped_collection_leaves_nothing,
        points_claims.what_was_stored_comes_back,
        points_claims.an_id_stands_for_its_last_point,
        searching_claims.the_nearest_come_first_by_every_metric,
        searching_claims.a_threshold_leaves_out_what_is_below,
        filtering_claims.every_filter_chooses_what_the_evaluator_chooses,
        filtering_claims.every_kind_of_value_fits_only_its_own,
        filtering_claims.as_many_as_fit_come_back_whatever_the_filter,
        searching_claims.a_search_sees_what_was_just_written,
        collections_claims.namespaces_see_nothing_of_each_other,
        points_claims.what_is_deleted_is_gone,
        points_claims.pages_hold_every_point_once,
        searching_claims.many_searches_are_each_answered,
        refusing_claims.a_batch_with_a_fault_changes_nothing,
        refusing_claims.a_query_that_makes_no_sense_is_refused,
        collections_claims.declared_fields_are_the_only_ones,
        points_claims.writers_and_readers_at_once_agree_in_the_end,
    ]
    if abilities.has_text_search:
        claims += [words_claims.words_find_what_holds_them, words_claims.words_are_only_sought_where_the_filter_fits]
    return claims
