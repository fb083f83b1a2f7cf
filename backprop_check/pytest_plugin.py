"""``pytest --backprop-check``: one test item per case, for every configured implementation.

Without the option the plugin adds options, a marker and two fixtures, and imports nothing heavy. The work is in
``pytest_items``, which is imported only with the option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all under one heading."""
    group = parser.getgroup("backprop-check", "conformance of backpropagation, neuron by neuron")
    group.addoption("--backprop-check", action="store_true", help="judge the configured implementations")
    group.addoption(
        "--backprop-impl", action="append", default=[], metavar="IMPL", help="judge this implementation (repeatable)"
    )
    group.addoption("--backprop-suite", action="append", default=[], metavar="NAME", help="only this suite")
    group.addoption("--backprop-cases", type=int, default=200, metavar="N", help="number of generated cases")
    group.addoption("--backprop-seed", type=int, default=0, metavar="N", help="seed of the generated cases")
    group.addoption("--backprop-timeout", type=float, default=10.0, metavar="S", help="seconds for one case")
    group.addoption("--backprop-profile", choices=["textbook", "strict"], default="textbook", help="which bounds apply")
    group.addoption("--backprop-kinks", choices=["any", "pytorch"], help="slopes accepted at a kink (default: any)")
    group.addoption(
        "--backprop-require",
        action="append",
        default=[],
        metavar="WORD",
        help="fail unless a passing case has this level, kind of layer, activation, loss or optimizer; or cases=N",
    )
    group.addoption("--backprop-json", metavar="PATH", help="write the results here (several: PATH-NAME.json)")
    group.addoption("--backprop-html", metavar="PATH", help="write a report here")
    group.addoption("--backprop-replay", action="store_true", help="run the kept failures instead of the cases")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and with the option the plugin that collects cases."""
    config.addinivalue_line("markers", "backprop: a case of backprop-check, judged neuron by neuron")
    if config.getoption("--backprop-check") or config.getoption("--backprop-replay"):
        from backprop_check.pytest_items import Collecting  # noqa: PLC0415 - only with the switch

        config.pluginmanager.register(Collecting(config), "backprop-check-collecting")


@pytest.fixture
def check_backprop() -> Callable[..., Any]:
    """``check_backprop(implementation, **options)``: judges a callable and fails the test on a mismatch."""

    def checked(implementation: Any, **options: Any) -> Any:
        from backprop_check import check  # noqa: PLC0415 - numpy and torch

        results = check(implementation, **options)
        results.raise_for_mismatch()
        return results

    return checked


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``backprop_case`` runs once for each case."""
    if "backprop_case" in metafunc.fixturenames:
        from backprop_check.cases.plan import select_cases  # noqa: PLC0415 - numpy

        option = metafunc.config.getoption
        cases = list(select_cases(option("--backprop-suite"), option("--backprop-cases"), option("--backprop-seed")))
        metafunc.parametrize("backprop_case", cases, ids=[case.id for case in cases])
