"""Bitrix24: calls, batches, limits, tokens and what it posts to us. The vendor's words stop here."""
