"""Who sends requests where: HAProxy, told over its runtime socket.

``config`` renders what HAProxy runs, the safe state included; ``runtime_commands`` lists every line
that is ever sent to it; ``runtime_socket`` sends one and says what came back; ``haproxy`` is the
router that plans are carried out with.
"""
