"""Joins Bitrix24 to SMSC.ru: nothing lost, nothing sent twice, and one can always see why."""
