"""Settings of the operator: its own section, and those that it shares with every process of a deployment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from smsbridge.core import errors
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.runtime import settings as runtime_settings
from smsbridge.runtime.logging import LoggingSettings
from smsbridge.runtime.process import ProcessSettings
from smsbridge.runtime.rpc import EndpointSettings
from smsbridge.smsc.settings import SmscSettings
from smsbridge.store.account import AccountLimits
from smsbridge.store.connection import StoreSettings
from smsbridge.store.egress import EgressSettings
from smsbridge.store.portal_limiter import PortalLimits

Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class OperatorSettings(BaseModel):
    """What the operator looks after, and how quickly it tells."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    namespaces: list[Namespace] = Field(
        default_factory=list,
        description="Namespaces whose SmscProviders it looks after; it reads Secrets in no other.",
    )
    cluster_wide: bool = Field(
        default=False,
        description="Look after all namespaces; it may then read every Secret of the cluster.",
    )
    lease_seconds: float = Field(
        default=15.0,
        gt=1,
        description="One operator acts at a time. Another takes over after so long without a sign (s).",
    )
    queue_poll_seconds: float = Field(
        default=5.0,
        gt=0,
        description="How often the sender is asked for its queues and pauses, one call for all (s).",
    )
    blind_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Without the sender or the store for so long, Sending is shown as Unknown (s).",
    )
    removal_wait_seconds: float = Field(
        default=10.0,
        ge=0,
        description="A deletion waits so long for the portal, then lets go and goes on without it (s).",
    )

    @model_validator(mode="after")
    def _somewhere(self) -> "OperatorSettings":
        if bool(self.namespaces) is self.cluster_wide:
            raise ValueError("name the namespaces to look after, or set cluster_wide: true, not both")
        return self


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    # Validated without a value too: then the sentence says what is missing.
    operator: OperatorSettings = Field(
        default_factory=dict,
        validate_default=True,
        description="What the operator looks after.",
    )
    process: ProcessSettings = Field(default_factory=ProcessSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    endpoints: EndpointSettings = Field(default_factory=EndpointSettings)
    provisioning: ProvisioningSettings = Field(default_factory=ProvisioningSettings)
    account: AccountLimits = Field(default_factory=AccountLimits)
    egress: EgressSettings = Field(default_factory=EgressSettings)
    portal: PortalLimits = Field(default_factory=PortalLimits)
    smsc: SmscSettings = Field(default_factory=SmscSettings)


def load(file: Path | None, environ: Mapping[str, str]) -> Settings:
    """Raises ConfigError for the first thing wrong."""
    try:
        return runtime_settings.load(Settings, file=file, environ=environ)
    except runtime_settings.SettingsError as error:
        raise errors.ConfigError(error.sentence, field=error.field) from None
