"""The catalogue, one file a family: each bug's page stands beside the stages that it swaps."""
