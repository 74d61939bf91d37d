"""The attacks of AgentDojo, a third party's suite, against the product's own gate, policy and provenance."""
