"""The data sets: one file a kind, with scaling and splitting shared by all. A new one is a new file here."""

from ..registry import discover

discover(
    __name__, __path__, first=("digits", "xor", "circles", "moons", "spirals", "blobs", "checkerboard", "regression")
)
