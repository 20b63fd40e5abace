"""What people are told about; each sees only their own."""
