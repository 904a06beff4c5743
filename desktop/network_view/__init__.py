"""The network view: the cards at the left of the window, with which a person builds a network and its training."""

from .network_view import NetworkView

__all__ = ["NetworkView"]
