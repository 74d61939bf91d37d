"""Cases, scorers and gates over real runs."""
