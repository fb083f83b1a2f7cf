"""Functions that turn results into text, pages and files."""
