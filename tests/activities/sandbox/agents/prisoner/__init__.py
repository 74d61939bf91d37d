"""An agent that tries to get out."""
