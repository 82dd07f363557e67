"""`make bench` runs all, or what is named."""

import pytest

from benchmarks.__main__ import RESULTS, SHORT, commands


def test_without_arguments_every_usual_comparison_has_a_short_run_that_leaves_the_full_results_alone() -> None:
    assert [name for name, *_ in commands([])] == list(SHORT)
    for name, *options in commands([]):
        assert options[-2:] == ["--out", str(RESULTS / f"{name}.json")]


def test_options_alone_are_the_gateways() -> None:
    assert commands(["--contenders", "nginx"]) == [["gateway", "--contenders", "nginx"]]


def test_a_named_comparison_gets_its_options() -> None:
    assert commands(["vectors", "--size", "20000"]) == [["vectors", "--size", "20000"]]
    assert commands(["swap"]) == [["swap"]], "those that are not run by themselves have names too"
    with pytest.raises(SystemExit, match="no benchmark 'vector'"):
        commands(["vector"])
