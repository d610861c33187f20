"""Verifications of contact bases: a quote first, then each number once, and the CRM shows what is known."""
