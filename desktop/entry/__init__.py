"""Layerscope shows how neural networks train. The package holds only its version: importing it costs nothing."""

__version__ = "0.1.0"
