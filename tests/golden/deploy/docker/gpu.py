# Made by `undercroft deploy render docker`: change [deploy] in undercroft.toml and render again.
"""Starts vLLM and undercroft in one container, and ends with the first of them that ends."""

import os
import signal
import subprocess
import sys

VLLM = [
    "/opt/vllm/bin/vllm", "serve", os.environ["VLLM_MODEL"], "--host=127.0.0.1", "--port=8001",
    f"--tensor-parallel-size={os.environ['VLLM_CARDS']}",
]
UNDERCROFT = ["undercroft", "serve"]


def main(commands):
    processes = [subprocess.Popen(command) for command in commands]
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: [process.terminate() for process in processes])
    ended, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    for process in processes:
        if process.pid == ended:
            process.returncode = code
        else:
            process.terminate()
            process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main([VLLM, UNDERCROFT]))
