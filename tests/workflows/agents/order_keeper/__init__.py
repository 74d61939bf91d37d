"""An agent of the tests."""
