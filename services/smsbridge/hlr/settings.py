"""Settings of the hlr role."""

from pydantic import BaseModel, ConfigDict, Field


class HlrSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    listen: str = Field(
        default="127.0.0.1:7104", description="HOST:PORT of the gRPC server, for the other roles only."
    )
    preference_days: float = Field(
        default=90.0,
        gt=0,
        description="How long a learned channel counts (days): people who missed Viber once come back to it.",
    )
    max_numbers: int = Field(
        default=1000, ge=1, le=1000, description="Numbers of one question; more is a caller's mistake."
    )
    stop_grace_seconds: float = Field(default=5.0, gt=0, description="Time to answer what is in hand (s).")
