"""Numbers for the home pages."""
