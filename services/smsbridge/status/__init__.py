"""Receipts, delivery states, cascades and what the portal is told."""
