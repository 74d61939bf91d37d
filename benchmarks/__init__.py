"""What a run costs, measured beside a bare workflow."""
