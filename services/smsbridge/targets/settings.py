"""All settings of a deployment, one section per concern, each explained by the module it belongs to."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from smsbridge.core import errors
from smsbridge.gateway.settings import GatewaySettings
from smsbridge.hlr.settings import HlrSettings
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.runtime import settings as runtime_settings
from smsbridge.runtime.logging import LoggingSettings
from smsbridge.runtime.process import ProcessSettings
from smsbridge.runtime.rpc import EndpointSettings
from smsbridge.runtime.supervisor import SupervisorSettings
from smsbridge.runtime.tracing import TracingSettings
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc.settings import SmscSettings
from smsbridge.status.settings import StatusSettings
from smsbridge.store.account import AccountLimits
from smsbridge.store.connection import StoreSettings
from smsbridge.store.egress import EgressSettings
from smsbridge.store.embedded import EmbeddedSettings
from smsbridge.store.portal_limiter import PortalLimits


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    process: ProcessSettings = Field(
        default_factory=ProcessSettings,
        description="What every process has: its internal listener and its master key.",
    )
    logging: LoggingSettings = Field(
        default_factory=LoggingSettings,
        description="What is logged: JSON lines on standard error, without phones, texts and secrets.",
    )
    tracing: TracingSettings = Field(
        default_factory=TracingSettings, description="Where OpenTelemetry spans of messages go, if anywhere."
    )
    supervisor: SupervisorSettings = Field(
        default_factory=SupervisorSettings, description="How `run all` keeps its processes."
    )
    store: StoreSettings = Field(
        default_factory=StoreSettings, description="The Valkey (or Redis) server that all roles share."
    )
    embedded: EmbeddedSettings = Field(
        default_factory=EmbeddedSettings, description="The Valkey server that `run all` starts for itself."
    )
    endpoints: EndpointSettings = Field(
        default_factory=EndpointSettings,
        description="Where a role finds the others, when each runs on its own.",
    )
    gateway: GatewaySettings = Field(
        default_factory=GatewaySettings, description="The public doors and the gateway's journal."
    )
    sender: SenderSettings = Field(
        default_factory=SenderSettings, description="Batches and uncertain batches."
    )
    status: StatusSettings = Field(
        default_factory=StatusSettings,
        description="Receipts, status questions, cascades and what is written to the portal.",
    )
    hlr: HlrSettings = Field(default_factory=HlrSettings, description="What is known about numbers.")
    provisioning: ProvisioningSettings = Field(
        default_factory=ProvisioningSettings,
        description="How providers are kept registered and looked after.",
    )
    account: AccountLimits = Field(
        default_factory=AccountLimits,
        description="What all roles together may ask of one SMSC account, and when a paused one is probed.",
    )
    egress: EgressSettings = Field(
        default_factory=EgressSettings,
        description="What keeps SMSC from blocking the address we call from, over all accounts and roles.",
    )
    portal: PortalLimits = Field(
        default_factory=PortalLimits, description="What all roles together may ask of one Bitrix24 portal."
    )
    smsc: SmscSettings = Field(default_factory=SmscSettings, description="The client of SMSC.ru.")


def load(file: Path | None, environ: Mapping[str, str]) -> Settings:
    """Raises ConfigError for the first thing wrong."""
    try:
        return runtime_settings.load(Settings, file=file, environ=environ)
    except runtime_settings.SettingsError as error:
        raise errors.ConfigError(error.sentence, field=error.field) from None
