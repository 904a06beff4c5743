"""Measuring: numbers about every layer at every step. Judging and drawing them is done elsewhere."""
