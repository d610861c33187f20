"""Settings of the provisioner: how often it looks, how long it waits. What it makes true comes from the
manifests.
"""

from pydantic import BaseModel, ConfigDict, Field


class TokenSettings(BaseModel):
    """How tokens are renewed; the same in every process that calls a portal."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    refresh_seconds: float = Field(
        default=20.0, gt=0, description="Hard limit of one refresh at the OAuth host (s)."
    )
    lock_extra_seconds: float = Field(
        default=10.0, gt=0, description="The lock of an installation outlasts the refresh by so long (s)."
    )
    early_seconds: float = Field(
        default=0.0, ge=0, description="A token counts as expired so long before its time (s)."
    )
    store_retry_seconds: float = Field(
        default=0.5, gt=0, description="Pause between attempts to store a new pair of tokens (s)."
    )
    store_attempts: int = Field(
        default=240, ge=1, description="How often storing a new pair is tried before it is given up."
    )


class ProvisioningSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    manifests_poll_seconds: float = Field(
        default=1.0, gt=0, description="How often the manifests file is looked at for changes (s)."
    )
    interval_seconds: float = Field(
        default=600.0,
        gt=0,
        description="How often a provider that is in order is checked against the portal and SMSC (s).",
    )
    interval_jitter: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share by which the interval varies, so that not all come at once.",
    )
    retry_first_seconds: float = Field(
        default=5.0, gt=0, description="Wait after the first failure; it doubles with each further one (s)."
    )
    retry_cap_seconds: float = Field(
        default=600.0,
        gt=0,
        description="The longest wait after failures (s); as long as the interval, an error costs no more.",
    )
    at_once: int = Field(default=16, ge=1, description="Providers that are checked at the same time.")
    removed_kept_seconds: float = Field(
        default=72 * 3600.0,
        ge=0,
        description="How long a removed provider's receipts and statuses are still settled before it is "
        "erased (s).",
    )
    login_probe_seconds: float = Field(
        default=1800.0,
        ge=0,
        description="A refused login is not tried again before this, unless its Secret changes: five "
        "failures in 30 minutes block the IP address (s).",
    )
    smsc_check_seconds: float = Field(
        default=10.0, gt=0, description="How long a question to SMSC may take; its permit ends then (s)."
    )
    check_public_urls: bool = Field(
        default=True,
        description="Look at the certificates of publicUrl; off where these names lead elsewhere from here.",
    )
    tokens: TokenSettings = Field(
        default_factory=TokenSettings, description="How the portals' tokens are renewed."
    )

    @property
    def shortest_interval_seconds(self) -> float:
        """What was asked within this time is not asked again."""
        return self.interval_seconds * (1 - self.interval_jitter)
