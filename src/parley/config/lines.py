"""The protocols that a server speaks. A process of several loads them before anything else, so
Django is set up here.
"""

from parley.config import asgi  # noqa: F401 - sets it up
from parley.realtime.lines import Line, StreamLine

__all__ = ["Line", "StreamLine"]
