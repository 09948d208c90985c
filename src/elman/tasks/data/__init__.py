"""Data for sequence models: files and tables of texts, their split, their form as numbers."""

from .split import split_rows
from .spool import Texts
from .table import Table, read_table

__all__ = ["Table", "Texts", "read_table", "split_rows"]
