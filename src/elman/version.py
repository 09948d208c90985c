"""The version, the only place that states it; read without importing anything."""

__version__ = "0.1.0"
