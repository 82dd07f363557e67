"""docs/reference says what the code declares, and the code declares nothing without a word about it."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.support import golden
from tests.support.checkout import ROOT

PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))


def test_every_setting_command_error_metric_and_route_is_described(reference: ModuleType) -> None:
    assert reference.undescribed() == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_what_the_code_declares(page: Path, reference: ModuleType) -> None:
    golden.compare_file(page, reference.filled(page.read_text("utf-8")))


def test_nothing_that_the_code_declares_is_left_out(reference: ModuleType) -> None:
    regions = [name for page in PAGES for name in reference.REGION.findall(page.read_text("utf-8"))]

    assert sorted(regions) == sorted(reference.REGIONS)


def test_every_route_but_the_pages_is_in_the_openapi_document(reference: ModuleType) -> None:
    shown = {
        (method.upper(), path)
        for path, operations in reference.assembled().openapi["paths"].items()
        for method in operations
    }
    routes = {(each.method, each.path) for each in reference.assembled().routes if each.permission != "docs"}

    assert routes <= shown
