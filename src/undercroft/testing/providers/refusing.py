"""What any provider owes that cannot answer."""

from undercroft.errors import InvalidRequest, Unavailable, UndercroftError, UpstreamError
from undercroft.testing.providers.asking import answer_of, expect
from undercroft.testing.providers.subject import Subject

ALLOWED_ERRORS = (UpstreamError, InvalidRequest, Unavailable)


async def errors_are_of_the_allowed_kinds(subject: Subject) -> None:
    for request in subject.refused:
        try:
            answer = await answer_of(subject, request)
        except ALLOWED_ERRORS as error:
            expect(bool(error.message), "the error says nothing")
        except UndercroftError as error:
            raise AssertionError(f"{type(error).__name__} is not for a provider to raise") from error
        else:
            raise AssertionError(f"{request} was answered with {answer.choices or answer.vectors or answer.verdicts}")
