"""How the networks are learned."""
