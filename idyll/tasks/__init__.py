"""Edit jobs: handed out, handed in, approved."""
