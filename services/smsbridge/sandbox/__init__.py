"""Stand-ins for SMSC.ru, Bitrix24 portals and their OAuth host, as strict as the real ones are documented."""
