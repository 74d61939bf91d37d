"""All input and output on behalf of a run: models, tools, approvals, recording."""
