"""How tags that usage is grouped by are named; apart from the sums, so that the hot path needs no SQLAlchemy."""

import re
from typing import Final

TAG_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
