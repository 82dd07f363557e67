"""What stands for vLLM where there is no card: a wheel of its name, whose `vllm serve` answers in a few words.

vLLM itself is gigabytes of code for cards; everything around it (two environments, two programs in one container, the
way from one to the other) is the image's own, and can be tried without.
"""

import zipfile
from pathlib import Path

SAYS = "Not from a card."
_PROGRAM = f"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = {{
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "stand-in",
    "choices": [{{"index": 0, "finish_reason": "stop", "message": {{"role": "assistant", "content": "{SAYS}"}}}}],
    "usage": {{"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}},
}}


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({{"object": "list", "data": []}})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(ANSWER)

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    told = dict(word[2:].split("=", 1) for word in sys.argv[3:])
    assert sys.argv[1] == "serve" and told["tensor-parallel-size"] == "1", sys.argv
    ThreadingHTTPServer((told["host"], int(told["port"])), Answers).serve_forever()
"""


def wheel(folder: Path, version: str) -> Path:
    """A file for pip, in that folder."""
    info = f"vllm-{version}.dist-info"
    path = folder / f"vllm-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vllm_stand_in.py", _PROGRAM)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nvllm = vllm_stand_in:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path
