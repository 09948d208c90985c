"""Recurrent layers where Python is not: object code with its weights, and a header for C."""

from .files import export as export
