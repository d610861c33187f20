"""Errands: what hlr is asked to do in the CRM, and waits for nobody who asked."""
