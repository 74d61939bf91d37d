"""After the fact: replay, re-decision and evidence."""
