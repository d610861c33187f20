"""Every setting of the sender. Defaults are the guarantees' figures; tests shorten them."""

from pydantic import BaseModel, ConfigDict, Field


class SenderSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    listen: str = Field("127.0.0.1:7102", description="HOST:PORT of the gRPC server.")
    default_region: str = Field(
        "RU", description="Country (ISO 3166) of numbers that were typed without a country code."
    )
    lease_ms: int = Field(45_000, description="How long a claimed batch is one sender's (ms).")
    post_total_ms: int = Field(20_000, description="Hard total time-out of one POST to send.php (ms).")
    margin_ms: int = Field(
        10_000,
        description="A lease and a deadline outlast the POST by this; a process may be frozen so long (ms).",
    )
    idle_seconds: float = Field(1.0, description="How often a lane is looked at where nothing wakes it (s).")
    unsent_delay_seconds: float = Field(
        1.0, description="First pause after nothing could be sent (host down); doubles (s)."
    )
    unsent_delay_most_seconds: float = Field(60.0, description="The longest such pause (s).")
    preference_timeout_seconds: float = Field(
        0.2, description="Without hlr's answer by then, preferred channels count as unknown (s)."
    )
    lookup_most_seconds: float = Field(
        120.0,
        description="With `hlr.beforeSend: always`: a bulk message whose number is still being looked up "
        "after so long is sent as if nobody had asked (s).",
    )
    lookup_away_seconds: float = Field(5.0, description="The same, where hlr does not answer at all (s).")
    second_ask_seconds: float = Field(
        10.0, description="Second question about an uncertain batch, after the first (s)."
    )
    repeat_within_seconds: float = Field(
        50.0,
        description="A byte-identical repeat is allowed so long after the POST: SMSC's guard protects (s).",
    )
    late_repeat_seconds: float = Field(
        180.0, description="Otherwise not before this, and only after a third `not found` (s)."
    )
    ask_again_seconds: float = Field(15.0, description="Pause after a question that brought no answer (s).")
    unproved_ask_seconds: float = Field(
        60.0,
        description="Pause between questions while status.php is not proved to know our ids (s).",
    )
    proof_delays_seconds: tuple[float, ...] = Field(
        (2.0, 10.0, 60.0), description="When status.php is asked about the first accepted client id (s)."
    )
    too_many_seconds: float = Field(1.0, description="Pause after `too many connections` (s).")
    held_check_seconds: float = Field(
        5.0, description="How often held messages' application tokens are compared (s)."
    )
    upkeep_seconds: float = Field(
        1.0, description="How often leases, validity and held messages are looked after (s)."
    )
    memory_check_seconds: float = Field(5.0, description="How often the store's memory is looked at (s).")
