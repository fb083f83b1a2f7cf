"""Pure functions from results to what people read."""
