"""One site in real time: the request-level plant behind real protocols, on loopback.

``named_pool`` is a pool whose engines are told apart by name, ``plant`` the site around it that
moves with the wall clock. ``engine_server``, ``gpus`` and ``converter`` show parts of it as a vLLM
server, as NVIDIA's library and as a SunSpec converter do; ``site_bench`` starts all of it with
HAProxy, the daemons and traffic. ``control`` starts, finds and ends it from outside.
"""
