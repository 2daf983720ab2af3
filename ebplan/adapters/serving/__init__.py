"""Serving engines: ``vllm`` commands one, ``metrics`` reads what it counts.

``waked_client`` asks the local agent that wakes engines when nobody renews.
"""
