"""What a reading is shown of a pass, and may put in its place. Most readings look at nothing and change nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Unchanged:
    """Goes on with what was computed."""

    def seen(self, _quantity: str, _layer: int | None, _step: int, value: Any, *, last: bool = False) -> Any:  # noqa: ARG002
        """What the next stage reads; here what the stage before computed."""
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
        """Work in here is not shown to anybody (here nothing is)."""
        yield
