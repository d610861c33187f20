"""How errands end: the words of `smsbridge_hlr_errands_total`. A closed list; docs/metrics.md explains it."""

DONE = "done"  # written, answered, or read
UNCHANGED = "unchanged"  # the CRM shows it already
OURS = "ours"  # told of an update that we made
REPEATED = "repeated"  # came before
INVALID = "invalid"  # lacks what it is about
OFF = "off"  # the provider's rules do not want it
NO_CALL = "no_call"  # a lead from elsewhere, where only leads from calls are wanted
NO_PHONE = "no_phone"
BAD_PHONE = "bad_phone"  # there is one, and it is no number
GONE = "gone"  # the entity was deleted
NOBODY = "nobody"  # no contact has the number
BY_HAND = "by_hand"  # somebody has set the channel: it stays
BUDGET = "budget"
NOTHING = "nothing"  # nothing could be learned of the number
LATE = "late"  # the step had ended before it was answered
FOREIGN_TOKEN = "foreign_token"  # noqa: S105 - a word, no secret
REFUSED = "refused"  # the portal says no to it
REMOVED = "removed"  # the provider was
TOO_OLD = "too_old"  # dropped: it could not be done in time
