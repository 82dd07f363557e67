"""What a CompletionProvider owes."""

from undercroft.llm.types import CompletionRequest, Sampling
from undercroft.testing.providers.asking import answer_of, expect, expect_ended_once, stream_of
from undercroft.testing.providers.subject import Subject


async def a_prompt_is_continued(subject: Subject) -> None:
    answer = await answer_of(subject, _completion(subject, subject.prompt))
    expect(answer.text() != "", "the continuation is empty")
    expect(answer.choices[0].finish_reason in ("stop", "length"), f"it ended with {answer.choices[0].finish_reason!r}")


async def a_continuation_can_be_streamed(subject: Subject) -> None:
    chunks = await stream_of(subject, _completion(subject, subject.prompt, stream=True))
    expect("".join(chunk.text() for chunk in chunks) != "", "the stream has no text")
    expect_ended_once(chunks, choices=1)


async def every_prompt_gets_its_choices(subject: Subject) -> None:
    answer = await answer_of(subject, _completion(subject, subject.prompt, subject.long_prompt, n=2))
    expect([choice.index for choice in answer.choices] == [0, 1, 2, 3], f"choices are {answer.choices}")
    expect(all(choice.finish_reason for choice in answer.choices), "a choice has no finish reason")


def _completion(subject: Subject, *prompts: str, stream: bool = False, n: int = 1) -> CompletionRequest:
    sampling = Sampling(temperature=0.0, max_tokens=8, n=n)
    return CompletionRequest(model=subject.model, prompts=prompts, sampling=sampling, stream=stream)
