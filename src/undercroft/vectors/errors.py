"""What goes wrong with vectors, in one vocabulary for every store."""

from undercroft.errors import Conflict, InvalidRequest, NotFound, Unavailable


class CollectionNotFound(NotFound):
    """No collection of that name."""

    code = "collection_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no collection {name!r}.", param="collection")


class CollectionConflict(Conflict):
    """The collection is there, made in another way."""

    code = "collection_conflict"

    def __init__(self, name: str, differences: str) -> None:
        super().__init__(
            f"The collection {name!r} is there already, with {differences}.",
            param="collection",
            hint="Take another name, or drop it first.",
        )


class InvalidCollection(InvalidRequest):
    """A collection that no store, or not this one, can make."""

    code = "invalid_collection"


class InvalidPoint(InvalidRequest):
    """A point that cannot be stored. `position` counts from 0 in its batch; nothing of the batch was stored."""

    code = "invalid_point"

    def __init__(self, position: int, message: str, *, field: str = "") -> None:
        at = f"points[{position}]"
        super().__init__(f"{at}: {message}", param=f"{at}.{field}" if field else at)
        self.position = position


class DimensionMismatch(InvalidPoint):
    """A vector of another length than the collection's. `position` is -1 for a query's."""

    code = "dimension_mismatch"

    def __init__(self, position: int, *, got: int, wanted: int) -> None:
        super().__init__(position, f"the vector has {got} numbers, the collection takes {wanted}.", field="vector")
        if position < 0:
            self.message = f"The query's vector has {got} numbers, the collection takes {wanted}."
            self.args = (self.message,)
            self.param = "vector"


class InvalidQuery(InvalidRequest):
    """A query that cannot be answered."""

    code = "invalid_vector_query"


class InvalidFilter(InvalidRequest):
    """A filter that cannot be read or names what is not there. `param` says where in it: `filter.filters[1].key`."""

    code = "invalid_filter"


class PartlyStored(Unavailable):
    """The store broke down in the middle of a batch: its first `stored` points are there, the rest may not be."""

    code = "partly_stored"

    def __init__(self, stored: int, of: int) -> None:
        super().__init__(
            f"The vector store broke down in the middle of a batch: its first {stored} of {of} points are stored.",
            hint="Send the whole batch again; points that are there are overwritten with the same.",
            retry_after_s=5,
        )
        self.stored = stored
