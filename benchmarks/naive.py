"""The obvious service: FastAPI, the official SDK, one client. What `make bench` compares with."""

import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

app = FastAPI()
client = AsyncOpenAI(base_url=os.environ.get("UPSTREAM"), api_key="sk-upstream")


class ChatRequest(BaseModel):
    """What it understands of a request."""

    model: str
    messages: list[dict[str, Any]]
    temperature: float | None = None
    stream: bool = False


@app.post("/v1/chat/completions")
async def chat(request: ChatRequest) -> Response:
    arguments: dict[str, Any] = request.model_dump(exclude_none=True)
    if not request.stream:
        answer = await client.chat.completions.create(**arguments)
        return Response(answer.model_dump_json(), media_type="application/json")

    async def events() -> AsyncIterator[str]:
        async for chunk in await client.chat.completions.create(**arguments):
            yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
