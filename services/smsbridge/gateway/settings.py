"""The gateway's settings."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class GatewaySettings(BaseModel):
    """Doors, limits of what is posted to them, and the journal."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    listen: str = Field(
        default="127.0.0.1:8080",
        description="HOST:PORT of the public doors; a reverse proxy with TLS stands before it.",
    )
    journal_dir: Path = Field(
        default=Path("data/gateway"),
        description="Directory of the journal. It must outlive the process: what is in it was answered 200.",
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=1024, le=1_048_576, description="Longer posts are answered 413 (bytes)."
    )
    read_timeout_seconds: float = Field(
        default=10.0, gt=0, description="How long a post's body may take to arrive, then 408 (s)."
    )
    submit_timeout_ms: int = Field(
        default=500,
        gt=0,
        description="An owner slower than this counts as away, and the journal takes over (ms).",
    )
    away_pause_ms: int = Field(
        default=1000,
        ge=0,
        description="So long after a failure posts go to the journal at once, instead of waiting each (ms).",
    )
    batch_items: int = Field(default=500, gt=0, description="Posts handed over in one call at most.")
    batch_bytes: int = Field(
        default=1_048_576, gt=0, description="Bytes of posts in one call, unless one alone is longer."
    )
    calls_in_flight: int = Field(default=2, gt=0, description="Calls to one owner at the same time.")
    second_call_from: int = Field(
        default=64, gt=0, description="So many posts waiting start a further call while one is under way."
    )
    drain_timeout_seconds: float = Field(
        default=5.0, gt=0, description="How long one call may take while draining (s)."
    )
    drain_pause_seconds: float = Field(
        default=0.5, gt=0, description="How often the journal is looked at while it is not empty (s)."
    )
    drain_rest_seconds: float = Field(
        default=30.0,
        ge=0,
        description="A journal entry that makes its owner fail alone is left so long, others go on (s).",
    )
    event_retry_seconds: float = Field(
        default=5.0,
        gt=0,
        description="An install event that could not be confirmed is tried again after this (s).",
    )
    frame_wait_seconds: float = Field(
        default=4.0,
        ge=0,
        description="The application's page waits so long for its confirmation before it is shown (s).",
    )
    depth_report_seconds: float = Field(
        default=2.0, gt=0, description="How often the store is told the journal's depth (s)."
    )
    installations_poll_seconds: float = Field(
        default=1.0, gt=0, description="How old the known application tokens may be (s)."
    )
    callbacks_after_removal_seconds: float = Field(
        default=259_200.0,
        ge=0,
        description="How long a removed provider's callbacks are still taken (s); 72 hours.",
    )
    start_wait_seconds: float = Field(
        default=2.0,
        ge=0,
        description="So long the start waits for the store before it serves from the snapshot (s).",
    )
    leave_seconds: float = Field(
        default=2.0,
        ge=0,
        description="When stopping, kept connections are told to close for so long (s) before they are cut.",
    )
    stop_seconds: float = Field(
        default=10.0, ge=0, description="How long posts in hand may take when stopping (s)."
    )
