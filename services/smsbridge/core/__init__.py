"""The domain: what a message, a channel, a state and a provider are.

Standard library only, synchronous, no vendor's field names and no input or output:
whatever is decided here can be tested without a server.
"""
