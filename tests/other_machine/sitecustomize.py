"""Python imports this at its start where ``PYTHONPATH`` contains this folder: so every child Python is moved as
well.
"""

import last_bit

last_bit.move_if_asked()
