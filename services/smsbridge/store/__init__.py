"""Valkey: connection, scripts, and one module per owner of data."""
