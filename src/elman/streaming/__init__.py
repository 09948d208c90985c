"""Sessions for sequences that arrive step by step, and training on long ones a window at a time."""

from .model import ModelStream as _ModelStream  # noqa: F401 - what `Stream` makes of a Sequential
from .session import Stream as Stream
from .windows import Window as Window
from .windows import windows as windows
