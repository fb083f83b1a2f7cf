"""The commands, one file each: what the command line asks for, in the words of the package.

A new command is a file here with a ``click`` command called ``command``, and a line in ``cli.COMMANDS``. Heavy
things (numpy, torch, jinja2) are imported inside the function, so that ``--help`` starts at once.
"""
