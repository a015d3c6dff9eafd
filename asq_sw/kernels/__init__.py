"""Aligned memory and the inner products that training, the integer network and the exact array share."""
