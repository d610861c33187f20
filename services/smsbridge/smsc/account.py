"""An SMSC account as the client needs it: where it lives, which API it speaks, how it logs in.

Made from the provider registry for each use. Its secrets never show in `repr`; what identifies it in the
store is `key`, from which neither login nor API key can be read.
"""

import hashlib
from dataclasses import dataclass, field

from smsbridge.core import provider
from smsbridge.core.provider import Profile


@dataclass(frozen=True, slots=True)
class Account:
    """Logs in with `api_key` where there is one, else with `login` and `password`."""

    base_url: str  # https://smsc.ru; the scripts are at /sys/ below it
    profile: Profile
    login: str = ""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    sender_id: str = ""  # empty: the account's default name
    callback_secret: str = field(default="", repr=False)

    @property
    def key(self) -> str:
        """Identity of the account: base URL and login, or API key where there is no login. 32 hex digits.

        The profile is no part of it: one login with two profiles is one account.
        """
        who = f"login\n{self.login}" if self.login else f"key\n{self.api_key}"
        return hashlib.sha256(f"{self.base_url.rstrip('/').lower()}\n{who}".encode()).hexdigest()[:32]

    @property
    def fingerprint(self) -> str:
        """Changes when what the account logs in with changes. 16 hex digits; compared, never shown."""
        secrets = f"{self.key}\n{len(self.password)}\n{self.password}\n{self.api_key}"
        return hashlib.sha256(secrets.encode()).hexdigest()[:16]

    def url(self, script: str, *, base_url: str = "") -> str:
        """Address of `script` (`send`, `status` ...), at another host of the service where one is given."""
        return f"{(base_url or self.base_url).rstrip('/')}/sys/{script}.php"


def of(settings: provider.AccountSettings) -> Account:
    """The account that a provider's settings name."""
    return Account(
        base_url=settings.base_url,
        profile=settings.profile,
        login=settings.login,
        password=settings.password,
        api_key=settings.api_key,
        sender_id=settings.sender_id,
        callback_secret=settings.callback_secret,
    )
