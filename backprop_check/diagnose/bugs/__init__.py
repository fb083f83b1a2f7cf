"""The catalogue of bugs, one file per family: each bug's page is next to the stages that it replaces."""
