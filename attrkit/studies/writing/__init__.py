"""A study in tables and in words."""
