"""People who want to join."""
