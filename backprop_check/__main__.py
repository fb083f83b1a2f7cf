"""``python -m backprop_check``: the command line."""

from __future__ import annotations

from backprop_check.cli import main

if __name__ == "__main__":
    main(prog_name="backprop-check")
