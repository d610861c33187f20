"""How the roles talk: core types <-> protobuf, typed clients, coalescing, errors <-> status codes.

Protobuf types stop here and at each role's `servicer.py`.
"""
