"""Serving engines: what they do, and putting them to sleep without losing a request.

``metrics`` reads the page that vLLM writes, in the names of any version; ``vllm`` reads, wakes,
warms and puts to sleep one engine; ``guardian`` says who wakes it when nobody else does any more.
"""
