"""What one tenant can see or do of another: nothing, in every table and by every function."""
