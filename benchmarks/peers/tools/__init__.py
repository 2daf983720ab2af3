"""One file a tool: each states the problems with its own library."""
