"""The integer network: the definition of what hardware computes."""
