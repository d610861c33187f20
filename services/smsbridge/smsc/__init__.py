"""SMSC.ru: its calls, its codes, its callbacks. The vendor's words stop here."""
