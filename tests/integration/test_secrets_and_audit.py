"""Stored provider keys under a running server, their rotation, and the log of who changed what."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.support.raw import exchange
from tests.support.server import SCRIPTED, Server, run, serving, until
from tests.support.upstream import Upstream, listening

MASTER = "a-master-key-of-more-than-16-characters"
SECRET = "sk-stored-0123456789abcdef"
HOOK = {"url": "https://hooks.example.com/x"}
