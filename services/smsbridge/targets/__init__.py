"""Puts processes together: the settings of all, each role with its dependencies, and `run all`.

The only place that knows every role. Decides nothing about messages.
"""
