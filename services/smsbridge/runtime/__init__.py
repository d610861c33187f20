"""What every process needs and no message cares about: settings, logs, metrics, servers, retries, clocks.

Knows nothing of SMS.
"""
