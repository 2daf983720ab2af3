"""How much compute fits under a connection that may be curtailed."""
