"""GPUs of a node.

``nvml`` commands them, with the rights that takes; ``capd_client`` asks a daemon that has these
rights, and is what a controller uses.
"""
