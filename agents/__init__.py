"""One folder for each agent: its definition, prompt, tools, policy and cases."""
