"""Serving engines.

``waked_client`` asks a daemon beside them to wake them when the controller is gone.
"""
