"""Jobs of this project: POST /api/v1/jobs {"kind": "digest", "input": {"texts": [...]}} asks for one.

A job is a row in the database before its caller is told that it was accepted, and is run again when the worker that had
it dies: write a job so that running it twice does no harm.
"""

from undercroft import agenerate, job


@job("digest")
async def digest(texts: list[str]) -> list[str]:
    """A sentence about each text."""
    return [await agenerate(f"Summarize in one sentence: {text}") for text in texts]
