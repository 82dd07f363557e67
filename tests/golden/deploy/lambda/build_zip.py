# Made by `undercroft deploy render lambda`: change [deploy] in undercroft.toml and render again.
"""Makes function.zip from requirements.txt, handler.py and undercroft.toml.  Example: python build_zip.py

The packages are those of Lambda's system, whatever this one is. The same packages make the same bytes. Under the
function's own version of Python they are compiled as well, without which it would do that at every cold start.
"""

import argparse
import compileall
import py_compile
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MOST_BYTES = 250 * 1000 * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.12", help="version of the function's Python (default: 3.12)")
    parser.add_argument("--architecture", default="x86_64", choices=["x86_64", "aarch64"], help="(default: x86_64)")
    options = parser.parse_args()
    build = HERE / "build"
    shutil.rmtree(build, ignore_errors=True)
    install = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-warn-conflicts"]
    install += ["--no-compile", "--only-binary", ":all:", "--implementation", "cp", "--python-version", options.python]
    for platform in ("manylinux_2_28", "manylinux_2_17", "manylinux2014"):
        install += ["--platform", f"{platform}_{options.architecture}"]
    install += ["--target", str(build), "--requirement", "requirements.txt"]
    if subprocess.run(install, cwd=HERE, check=False).returncode != 0:
        return 1
    shutil.rmtree(build / "bin", ignore_errors=True)
    for name in ("handler.py", "undercroft.toml"):
        shutil.copy(HERE / name, build / name)
    if options.python == "{}.{}".format(*sys.version_info):
        by_content = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(build, quiet=2, invalidation_mode=by_content, stripdir=build, prependdir="/var/task")
    else:
        print(f"not compiled: run it with Python {options.python}, and cold starts take half the time", file=sys.stderr)
    files = sorted(path for path in build.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if size > MOST_BYTES:
        print(f"{size // 1_000_000} MB unpacked, and Lambda takes 250; use the image instead", file=sys.stderr)
        return 1
    with zipfile.ZipFile(HERE / "function.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(build).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    packed = (HERE / "function.zip").stat().st_size
    print(f"function.zip: {packed // 1_000_000} MB, {size // 1_000_000} MB unpacked, {len(files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
