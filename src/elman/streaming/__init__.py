"""Sessions for sequences that arrive step by step."""

from .session import Stream as Stream
