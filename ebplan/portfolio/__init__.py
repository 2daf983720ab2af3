"""Many sites that share awards: each keeps its own numbers, prices and profiles go between them."""
