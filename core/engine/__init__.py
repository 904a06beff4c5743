"""The engine: a table of operations over flat memory. The only part of the core that imports Numba."""
