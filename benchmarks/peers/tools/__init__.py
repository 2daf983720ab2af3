"""One file a tool. Each states the problems with its own library and imports nothing of ebplan."""
