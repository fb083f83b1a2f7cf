"""The cases: generated (seeded), published and edge cases, grouped into suites."""
