"""Cases: generated (seeded), published, edge cases; suites by name."""
