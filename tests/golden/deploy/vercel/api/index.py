# Made by `undercroft deploy render vercel`: change [deploy] in undercroft.toml and render again.
"""Vercel's way in: `app` is the ASGI application that answers every path, POST /api/generate among them."""

from pathlib import Path

from undercroft.api.serverless import vercel_app

app = vercel_app(Path(__file__).resolve().parents[1], timeout_s=60)
