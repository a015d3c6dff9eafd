"""Cell libraries: the Liberty reader and the compact tables made from it."""
