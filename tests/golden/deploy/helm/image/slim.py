# Made by `undercroft deploy render helm`: change [deploy] in undercroft.toml and render again.
"""Takes out of an environment what only the developers of its packages need: symbol tables, tests, headers, stubs.

What `strip` of binutils does is done here: the build needs nothing but the package index.
"""

import shutil
import sys
from pathlib import Path


def stripped(library):
    """A 64-bit ELF file without what is not loaded: its sections' names and all that lies behind the last segment."""
    if library[:6] != b"\x7fELF\x02\x01":
        return library

    def number(at, size):
        return int.from_bytes(library[at : at + size], "little")

    first, size, count = number(32, 8), number(54, 2), number(56, 2)
    headers = range(first, first + size * count, size)
    end = max([number(at + 8, 8) + number(at + 32, 8) for at in headers] + [first + size * count])
    return library[:40] + bytes(8) + library[48:60] + bytes(4) + library[64:end]


def main(environment):
    for library in sorted(environment.rglob("*.so*")):
        if library.is_file() and not library.is_symlink():
            library.write_bytes(stripped(library.read_bytes()))
    for source in sorted(environment.rglob("*")):
        if source.suffix in (".a", ".h", ".pxd", ".pyi", ".pyx") and source.is_file():
            source.unlink()
    for tests in sorted(environment.rglob("tests"), reverse=True):
        if tests.is_dir() and "site-packages" in tests.parts:
            shutil.rmtree(tests)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
