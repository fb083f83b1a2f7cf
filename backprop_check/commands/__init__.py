"""The commands, one file each: they turn command-line options into calls of the package.

A new command is a file here with a ``click`` command called ``command``, and a line in ``cli.COMMANDS``. Import heavy
modules (numpy, torch, jinja2) inside the function, so that ``--help`` starts at once.
"""
