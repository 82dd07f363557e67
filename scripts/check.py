"""What `make check` runs: a line for each check, and the output of those that fail."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ("README.md", "CHANGELOG.md", "SUPPORT.md", "docs", "changelog.d", "tests/golden")
CHECKS = {
    "format": ("ruff", "format", "--check", "."),
    "lint": ("ruff", "check", "."),
    "types": ("mypy",),
    "imports": ("lint-imports",),
    "spelling": ("codespell", *(name for name in TEXTS if (ROOT / name).exists())),
}
# What holds on one machine only: where it asks for packages, and where its folders are.
LOCAL = {
    "the address of a package index": rb"files\.python[h]osted|registry\.npm[j]s"
    rb"|https?://(?![^/\s]*(\.test|\.example|localhost|127\.0\.0\.1)[:/])[^\s/]+/([\w-]+/)*simple/?(?=[\s\"'])",
    "the path of this checkout": re.escape(os.fsencode(ROOT)) + rb"\b",
    "a path in somebody's home": rb"/(home|Users)/(?!app/|user/|you/)[a-z][\w-]*/",
}


def committed_files() -> list[Path]:
    """What git has or would take; without git's data, what is not hidden."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listing.returncode == 0:
        names = listing.stdout.decode().split("\0")
    else:
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
        names = [name for name in names if not re.search(r"(^|/)(\.(?!ci/)|__pycache__)", name)]
    return [path for name in names if (path := ROOT / name).is_file()]


def local_text() -> list[str]:
    found = []
    for path in committed_files():
        content = path.read_bytes()
        for what, pattern in LOCAL.items():
            for match in re.finditer(pattern, content):
                line = content.count(b"\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{line}: {what}: {match.group().decode(errors='replace')}")
    return found


def main() -> int:
    started = time.monotonic()
    programs = Path(sys.executable).parent
    running = {
        name: subprocess.Popen([programs / program, *rest], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for name, (program, *rest) in CHECKS.items()
    }
    outputs = {"local text": "\n".join(local_text())}
    for name, process in running.items():
        output, _ = process.communicate()
        outputs[name] = output.decode(errors="replace") if process.returncode != 0 else ""
    for name, text in outputs.items():
        print(f"{'FAILED' if text else 'ok':8}{name}")
        if text:
            print(text)
    print(f"checked in {time.monotonic() - started:.1f} s")
    return 1 if any(outputs.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
