"""Settings of the status role. Defaults are the guarantees' figures; tests shorten them."""

from pydantic import BaseModel, ConfigDict, Field

from smsbridge.store.receipts import ReceiptTimes


class StatusSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    listen: str = Field(default="127.0.0.1:7103", description="HOST:PORT of the gRPC server.")
    receipts: ReceiptTimes = Field(default_factory=ReceiptTimes, description="How long receipts are kept.")
    inbox_seconds: float = Field(
        default=0.5, gt=0, description="How often kept receipts are looked for where nothing wakes us (s)."
    )
    incomplete_seconds: float = Field(
        default=1.0,
        gt=0,
        description="A receipt without a phone waits so long for the rest of its batch to be known (s).",
    )
    tick_seconds: float = Field(
        default=0.5, gt=0, description="How often cascades and outboxes are looked after (s)."
    )
    grace_seconds: float = Field(
        default=300.0, ge=0, description="A forbidden message counts as failed after so long: moderation (s)."
    )
    poll_seconds: float = Field(
        default=1.0, gt=0, description="How often due status questions are looked for (s)."
    )
    poll_lease_seconds: float = Field(
        default=30.0, gt=0, description="A question that was taken and not settled is due again (s)."
    )
    poll_most: int = Field(default=100, ge=1, le=100, description="(id, phone) pairs of one status question.")
    poll_permit_seconds: float = Field(
        default=15.0, gt=0, description="Life of a permit for one status question; outlasts its time-out (s)."
    )
    poll_refused_seconds: float = Field(
        default=20.0,
        gt=0,
        description="Pause after a question that may not be asked now, or had no answer (s).",
    )
    portal_tick_seconds: float = Field(
        default=0.5, gt=0, description="How often portal statuses to write are looked for (s)."
    )
    portal_linger_seconds: float = Field(
        default=0.5, ge=0, description="A batch that is not full leaves so long after the one before (s)."
    )
    portal_flights: int = Field(
        default=4,
        ge=1,
        description="Batches under way at a time per portal: one of 50 takes a second or two there.",
    )
    portal_turn_seconds: float = Field(
        default=5.0, gt=0, description="What was taken to be written leaves within this, or is put back (s)."
    )
    portal_retry_seconds: float = Field(
        default=5.0, gt=0, description="Pause after a portal said that it did nothing (s)."
    )
    portal_parked_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Pause of a portal that refuses our application; a mended one goes on at once (s).",
    )
    portal_most_age_seconds: float = Field(
        default=14 * 86_400.0, gt=0, description="A portal forgets a message after so long (s)."
    )
    not_found_first_seconds: float = Field(
        default=5.0,
        gt=0,
        description="First pause where the portal does not know a message yet; doubles (s).",
    )
    not_found_total_seconds: float = Field(
        default=600.0, gt=0, description="After so long of not knowing it, its status is dropped (s)."
    )
    watch_seconds: float = Field(
        default=0.5, gt=0, description="How often a watched message is looked at (s)."
    )
    placing_seconds: float = Field(
        default=10.0,
        gt=0,
        description="How often hlr is asked, without spending, whose the numbers of final messages are (s).",
    )
    placing_most: int = Field(default=500, ge=1, le=1000, description="Numbers of one such question.")
    metrics_seconds: float = Field(
        default=2.0,
        gt=0,
        description="How often figures that are kept in the store are read for /metrics (s).",
    )
    savings_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How often what today's cascades saved is worked out for /metrics (s).",
    )
    stop_grace_seconds: float = Field(
        default=10.0, gt=0, description="Time to finish what is in hand when stopping (s)."
    )
