"""A simulation of another machine's mathematics: exp, expm1, log, log1p, tanh and erf with other last bits.

C libraries and processors round these functions differently. To check that no test and no verdict depends on it, run
the tests with results that are moved by one unit in the last place, up or down by a hash of the argument::

    BACKPROP_CHECK_ULPS=1 pytest

moves them in ``math`` and in NumPy, in pytest's own process and in every Python that it starts.
``BACKPROP_CHECK_ULPS=4`` moves them as far as the bounds allow a mathematics library to be off (``KAPPA`` in
``backprop_check.numbers.lanes``): 4u·|f(x)|, which is two or three units in the last place.

These tests have been run with 1: levels, edge and published cases, training, bounds, reference, generated cases, guide,
explain, report, diagnose, the plugin and commands, and a part of ``meta``; with 4: edge and published cases,
training files, and the verdicts of all levels. They found files compared byte for byte, and a softplus that was called
wrong where its logarithm was off by one ulp. ``test_last_bit`` runs a small selection each time.

Results on which all libraries agree are not moved: 0, ±1, infinities, NaN, and a result equal to its argument (tanh of
1e-20). PyTorch is not moved: it brings its own mathematics, as the implementations in other languages do.
"""

from __future__ import annotations

import importlib.util
import math
import os
import struct
import sys
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

#: The environment variable that says how far results are moved, in units of u·|f(x)|; not set or 0: not at all.
VARIABLE = "BACKPROP_CHECK_ULPS"

MATH = ("exp", "expm1", "log", "log1p", "tanh", "erf")
NUMPY = ("exp", "expm1", "log", "log1p", "tanh")

#: Results that are not moved: exact ones (exp 0, log 1, tanh 0), and the ends of a function's range (tanh 800).
_STAYS = (0.0, 1.0, -1.0, math.inf, -math.inf)

# The hash is the top bit of the argument's bits times an odd number, mixed well enough for a coin toss.
_ODD, _WORD = 0x9E3779B97F4A7C15, 2**64 - 1


def move_if_asked() -> None:
    """Move ``math`` now and NumPy as soon as it is imported, if the environment asks for it."""
    ulps = int(os.environ.get(VARIABLE) or 0)
    if not ulps or hasattr(math, "_unmoved"):
        return
    unmoved = {name: getattr(math, name) for name in MATH}
    math._unmoved = unmoved  # type: ignore[attr-defined]  # noqa: SLF001 - the mark that it is done
    for name, function in unmoved.items():
        setattr(math, name, moved_in_math(function, ulps))
    if "random" in sys.modules:  # it keeps references of its own, made when it was imported
        for name in ("exp", "log"):
            setattr(sys.modules["random"], f"_{name}", getattr(math, name))
    if "numpy" in sys.modules:
        move_numpy(sys.modules["numpy"], ulps)
    else:
        sys.meta_path.insert(0, _WhenImported(ulps))


def move_everything() -> None:
    """Move this process's mathematics and that of every Python it starts: they find ``sitecustomize`` on
    ``PYTHONPATH``.
    """
    here = str(Path(__file__).resolve().parent)
    path = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    if here not in path:
        os.environ["PYTHONPATH"] = os.pathsep.join([here, *path])
    move_if_asked()


def moved_in_math(function: Callable[..., float], ulps: int) -> Callable[..., float]:
    def moved(x: Any, *base: Any) -> float:
        """f(x), moved by some ulps up or down."""
        y = function(x, *base)
        if base or y in _STAYS or y != y or y == x:  # noqa: PLR0124 - NaN
            return y
        return y + _steps(y, ulps) * math.ulp(y) * (1.0 if _up(float(x)) else -1.0)

    moved.__name__ = function.__name__
    return moved


def _up(x: float) -> bool:
    (bits,) = struct.unpack("<Q", struct.pack("<d", x))
    return bool((bits * _ODD & _WORD) >> 63)


def _steps(y: float, ulps: int) -> int:
    """``ulps``·u·|y| in ulps of y, rounded down, and 1 at least: u is half an ulp of 1."""
    return max(1, int(ulps * math.frexp(abs(y))[0]))


class MovedInNumpy:
    """A ufunc whose floating-point results are moved. All its other attributes (``types``, ``nin``, ...) are the
    ufunc's own.
    """

    def __init__(self, ufunc: Any, numpy: ModuleType, ulps: int) -> None:
        self._ufunc, self._numpy, self._ulps = ufunc, numpy, ulps
        self.__name__ = ufunc.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ufunc, name)

    def __reduce__(self) -> str:
        return f"numpy.{self.__name__}"

    def __call__(self, x: Any, *out: Any, **options: Any) -> Any:
        np = self._numpy
        # The argument is read before the result is written: out may be x itself.
        argument = np.array(x, copy=True) if np.asarray(x).dtype.kind in "fiub" else None
        result = self._ufunc(x, *out, **options)
        if argument is None or not hasattr(result, "dtype") or result.dtype.kind != "f":
            return result
        y = np.asarray(result)
        argument = np.broadcast_to(argument, y.shape).astype(np.float64)
        up = (argument.view(np.uint64) * np.uint64(_ODD)) >> np.uint64(63) == 1
        with np.errstate(all="ignore"):
            size = np.maximum(1, np.floor(self._ulps * np.frexp(np.abs(y))[0])).astype(y.dtype)
            moved = (y + np.where(up, size, -size) * np.spacing(np.abs(y))).astype(y.dtype)
            stays = np.isin(y, _STAYS) | np.isnan(y) | (y == argument)
        wanted = ~stays & np.broadcast_to(np.asarray(options.get("where", True)), y.shape)
        if isinstance(result, np.ndarray):
            np.copyto(result, moved, where=wanted)
            return result
        return moved[()] if wanted else result


def move_numpy(numpy: ModuleType, ulps: int) -> None:
    """Replace NumPy's functions with moved ones."""
    for name in NUMPY:
        setattr(numpy, name, MovedInNumpy(getattr(numpy, name), numpy, ulps))


class _WhenImported(MetaPathFinder):
    """A finder that moves NumPy right after its import; it does not cause the import."""

    def __init__(self, ulps: int) -> None:
        self._ulps = ulps

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "numpy":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("numpy")
        if spec is not None and spec.loader is not None:
            spec.loader = _Moving(spec.loader, self._ulps)
        return spec


class _Moving(Loader):
    """NumPy's own loader, followed by ``move_numpy``."""

    def __init__(self, loader: Loader, ulps: int) -> None:
        self._loader, self._ulps = loader, ulps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        move_numpy(module, self._ulps)
