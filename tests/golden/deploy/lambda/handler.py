# Made by `undercroft deploy render lambda`: change [deploy] in undercroft.toml and render again.
"""Lambda's way in, for function URLs, HTTP and REST APIs and load balancers."""

from pathlib import Path

from undercroft.api.serverless import lambda_handler

handler = lambda_handler(Path(__file__).parent, timeout_s=60)
