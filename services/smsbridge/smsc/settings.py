"""Settings of the client of SMSC.ru, for every process that calls it."""

from pydantic import BaseModel, ConfigDict, Field

from smsbridge.smsc.client import ClientSettings


class SmscSettings(BaseModel):
    """The client of SMSC.ru."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    total_timeout_seconds: float = Field(
        default=20.0,
        gt=0,
        le=20.0,
        description="Hard limit of one send (s); a lease outlasts it by 10 s, so it is not to be longer.",
    )
    connect_timeout_seconds: float = Field(default=5.0, gt=0, description="Name, connection and TLS (s).")
    status_timeout_seconds: float = Field(
        default=10.0, gt=0, description="One question: status, balance (s)."
    )

    def client(self) -> ClientSettings:
        return ClientSettings(
            total_timeout_seconds=self.total_timeout_seconds,
            connect_timeout_seconds=self.connect_timeout_seconds,
            status_timeout_seconds=self.status_timeout_seconds,
        )
