"""From unread JSON to a content that can be used."""

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.versions.content import CONTENTS, PASSAGES, Content, Kind, PromptContent, RetrievalContent
from undercroft.versions.template import check


def read_content(kind: Kind, value: object) -> Content:
    """A content from unread JSON. Raises InvalidRequest, which names what is wrong with it."""
    try:
        content = msgspec.convert(value, CONTENTS[kind])
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"This is no {kind}: {error}.", param="content") from error
    if isinstance(content, PromptContent):
        check(content)
    if isinstance(content, RetrievalContent) and PASSAGES not in content.template:
        raise InvalidRequest(f"The template has no {PASSAGES}, where what was found would go.", param="template")
    return content
