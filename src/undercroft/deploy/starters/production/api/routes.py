"""Routes of this project. They stand behind the same doors as undercroft's own, and answer errors like them."""

from typing import Annotated

from fastapi import APIRouter, Body

from undercroft import agenerate

router = APIRouter()


@router.post("/summarize")
async def summarize(text: Annotated[str, Body(embed=True)]) -> dict[str, str]:
    """One sentence that says what a text is about."""
    return {"summary": await agenerate(f"Summarize in one sentence: {text}")}
