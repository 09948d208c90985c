"""Data for sequence models: files and tables of texts, their split, their form as numbers."""
