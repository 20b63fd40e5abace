"""Money: requested, approved, paid once."""
