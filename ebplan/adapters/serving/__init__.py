"""Serving engines: ``vllm`` commands one, ``metrics`` reads what it counts.

``engine`` asks it what changes nothing, ``engine_http`` sends each request once. ``guardian`` is
what an engine needs of whoever wakes it when nobody renews; ``waked_client`` asks the local agent
that does.
"""
