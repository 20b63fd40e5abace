"""Who meets when."""
