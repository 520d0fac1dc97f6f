"""Exchanges that follow a rule, such as sums and spelling, so that every answer can be recomputed. Knows no model."""
