"""The people: profiles, roles, who sees whom."""
