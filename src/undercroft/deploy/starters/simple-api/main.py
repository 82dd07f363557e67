"""Your API: all of undercroft's routes, and one of your own. Start it: python main.py"""

from typing import Annotated

import uvicorn
from fastapi import APIRouter, Body

from undercroft import agenerate, create_app, fetch_models

router = APIRouter()


@router.post("/summarize")
async def summarize(text: Annotated[str, Body(embed=True)]) -> dict[str, str]:
    """One sentence that says what a text is about."""
    return {"summary": await agenerate(f"Summarize in one sentence: {text}")}


app = create_app(routes=router.routes)

if __name__ == "__main__":
    fetch_models(app.settings)  # the bundled ones, once, as long as nothing else can answer
    server = app.settings.server
    uvicorn.run(app, host=server.host, port=server.port)
