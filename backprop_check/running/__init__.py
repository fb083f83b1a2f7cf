"""Case after case, in one process or several: judging, keeping results, going on after an end."""
