"""The version, the only place that states it; read without importing anything."""

__version__ = "0.2.0.dev0"
