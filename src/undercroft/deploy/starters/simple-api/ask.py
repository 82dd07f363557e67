"""Answers a question over your own files: python ask.py QUESTION [FILE or FOLDER …], beside `python main.py`.

Files are taken in once; one that has changed takes the place of what it was. Later questions need not name them.
"""

import os
import sys
from pathlib import Path

from openai import OpenAI

STORE = "my-files"


def take_in(client: OpenAI, store: str, path: Path) -> None:
    """Reads a file into the vector store, unless it is there as it is."""
    seen: dict[str, str | float | bool] = {"path": str(path), "changed": path.stat().st_mtime}
    for there in client.vector_stores.files.list(store):
        if there.attributes == seen:
            return
        if there.attributes and there.attributes.get("path") == str(path):
            client.vector_stores.files.delete(there.id, vector_store_id=store)
    file = client.files.create(file=path, purpose="assistants")
    done = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store, attributes=seen)
    print(f"{path}: {done.last_error.message if done.last_error else done.status}")


def ask(client: OpenAI, store: str, question: str) -> None:
    """Prints the answer and the passages it was given."""
    answer = client.responses.create(
        input=question,
        tools=[{"type": "file_search", "vector_store_ids": [store], "max_num_results": 3}],
        include=["file_search_call.results"],
    )
    print(answer.output_text)
    for item in answer.output:
        for result in (item.results or []) if item.type == "file_search_call" else []:
            print(f"\n  {result.filename} ({result.score:.2f}): {result.text}")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    address = f"http://localhost:{os.environ.get('PORT', '8000')}/v1"
    client = OpenAI(base_url=address, api_key=os.environ.get("UNDERCROFT_MASTER_KEY") or "none")
    stores = {each.name: each.id for each in client.vector_stores.list()}
    store = stores.get(STORE) or client.vector_stores.create(name=STORE).id
    for named in map(Path, sys.argv[2:]):
        for path in sorted(named.rglob("*")) if named.is_dir() else [named]:
            if path.is_file():
                take_in(client, store, path)
    ask(client, store, sys.argv[1])


if __name__ == "__main__":
    main()
