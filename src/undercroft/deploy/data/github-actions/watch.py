"""Asks a deployment real requests for a while, and ends with 1 when more than one in a hundred fails.

Example: python watch.py https://ai.example.com --for 300 --every 1
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request

MOST_FAILED = 0.01
PATIENCE_S = 30


def asked(url: str, key: str) -> str:
    """What went wrong, or nothing."""
    headers = {"authorization": "Bearer " + key, "content-type": "application/json"}
    body = json.dumps({"prompt": "Say yes.", "max_tokens": 5}).encode()
    request = urllib.request.Request(url.rstrip("/") + "/api/generate", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return "" if "result" in json.load(answer) else "an answer without a result"
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except (OSError, ValueError) as error:
        return str(error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--for", dest="seconds", type=float, default=300.0, help="seconds (default: 300)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two requests (default: 1)")
    options = parser.parse_args()
    key = os.environ.get("UNDERCROFT_KEY", "")
    deadline = time.monotonic() + options.seconds
    failures, count = [], 0
    time.sleep(min(2.0, options.every))  # what forwards the port has just been started
    while time.monotonic() < deadline:
        count += 1
        problem = asked(options.url, key)
        if problem:
            failures.append(problem)
            print(f"request {count}: {problem}", file=sys.stderr)
        time.sleep(options.every)
    print(f"{count} requests, {len(failures)} failed")
    return 1 if not count or len(failures) > count * MOST_FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
