"""`make docs` in a fresh clone: the site is built without a warning, and its pages ask no other host for anything."""

import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.checkout import clean_environment, cloned

pytestmark = pytest.mark.system

LOADED = ("src", "srcset", "poster", "data", "style", "background")
NAVIGATION = ("canonical", "next", "prev", "alternate", "edit")
"""What a link element only points at; every other is fetched with the page."""
URL_IN_CSS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with cloned(tmp_path_factory.mktemp("docs") / "undercroft") as root:
        built = subprocess.run(
            ["make", "--no-print-directory", "-C", str(root), "docs"],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stdout + built.stderr
        yield root / "site"


class Requests(HTMLParser):
    """The addresses that a browser fetches because of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._is_style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._is_style = tag == "style"
        self.found += in_css(attributes.get("style", ""))
        self.found += [attributes[name] for name in LOADED if name != "style" and attributes.get(name)]
        if tag == "link" and attributes.get("rel") not in NAVIGATION:
            self.found.append(attributes.get("href", ""))

    def handle_data(self, data: str) -> None:
        if self._is_style:
            self.found += in_css(data)


def in_css(text: str) -> list[str]:
    return [one or other for one, other in URL_IN_CSS.findall(text)]


def requests_of(site: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            yield from ((path.name, address) for address in Requests(path.read_text("utf-8")).found)
        elif path.suffix == ".css":
            yield from ((path.name, address) for address in in_css(path.read_text("utf-8")))


def test_every_page_is_there(site: Path) -> None:
    for page in ("index", "tutorial/index", "guides/operations/index", "reference/settings/index"):
        assert (site / f"{page}.html").is_file()
    assert len(list(site.glob("decisions/*/index.html"))) > 3


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    addresses = list(requests_of(site))

    assert len(addresses) > 20, "scripts and styles of its own were seen"
    assert [each for each in addresses if urlsplit(each[1]).netloc] == []


def test_a_request_to_another_host_would_be_seen() -> None:
    page = """<link rel="stylesheet" href="https://a.example/x.css"><img src="//b.example/x.png">
    <style>@font-face { src: url(https://c.example/x.woff2) }</style><p style="background: url('http://d.example/')">
    <script src="own.js"></script><a href="https://e.example/">a link</a>"""

    hosts = [urlsplit(address).netloc for address in Requests(page).found]
    assert [host for host in hosts if host] == ["a.example", "b.example", "c.example", "d.example"]
