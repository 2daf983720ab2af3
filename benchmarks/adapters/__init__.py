"""How long adapters take, against real servers on loopback."""
