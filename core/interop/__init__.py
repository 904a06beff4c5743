"""Experiments as programs of other frameworks: readable code that repeats a run number by number."""
