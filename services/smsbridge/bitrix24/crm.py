"""The portal's CRM: contacts, leads and companies, read page by page, found by phone, changed.

Everything is made for batches, and nothing is decided here: which entities, which fields, and what of an
answer matters is the caller's knowledge.
"""

from enum import StrEnum


class EntityType(StrEnum):
    """Words of the methods' names."""

    CONTACT = "contact"
    LEAD = "lead"
    COMPANY = "company"
