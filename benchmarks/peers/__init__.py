"""The same storage problems in other tools, each in an environment of its own, side by side."""
