"""The command line in a process of its own, with default signals: a signal that asks it to stop ends it in order."""

import sys
from pathlib import Path

from backprop_check.cli import main
from backprop_check.protocol import Terminated, orderly_signals

sys.path.insert(0, str(Path(__file__).parents[1]))

from usual_signals import set_usual_signals

set_usual_signals()
try:
    with orderly_signals():
        main()
except Terminated as error:
    sys.exit(error.exit_code)
