"""The bundled models keep the promises of every provider."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.support.local_models import bundled_chat
from undercroft.llm.types import ChatRequest, CompletionRequest, Message, Part, Sampling
from undercroft.providers.local.chat import LocalChat
from undercroft.testing.providers import Claim, Subject, chat_claims, check, completion_claims, name_of

