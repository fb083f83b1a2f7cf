"""The hooks by which a reading sees the quantities of a pass and may replace them. Most readings change nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.functions.kinks import Kink


class Unchanged:
    """Continues with what was computed."""

    def kink(self: Any, _kink: Kink, test: Any, above: Any, below: Any, here: Any = None) -> Any:
        """A derivative that jumps: ``above`` where test > 0, ``below`` where test < 0, ``here`` (or below) at 0."""
        otherwise = below if here is None else self.where_positive(-test, below, here)
        return self.where_positive(test, above, otherwise)

    def seen(self, _quantity: str, _layer: int | None, _step: int, value: Any, *, last: bool = False) -> Any:  # noqa: ARG002
        """The value that the next stage reads; here the computed one."""
        return value

    def seen_part(self, _quantity: str, _layer: int | None, _step: int, value: Any, _start: int, _width: int) -> Any:
        """``seen`` for a table that is a part of a quantity: its columns from ``_start`` on, of ``_width`` in all."""
        return value

    def seen_row(
        self,
        _quantity: str,
        _layer: int,
        _step: int,
        value: Any,
        _shape: tuple[int, ...],
        *,
        last: bool = False,  # noqa: ARG002
    ) -> Any:
        """``seen`` for a parameter or its gradient, whose shape in a trace is ``_shape``."""
        return value

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Computations in this block are not shown; here nothing is shown anyway."""
        yield
