"""The hash tags. Every key of one transition carries the same one, so that it lives on one node."""


def provider(uid: str) -> str:
    return "{p:" + uid + "}:"


def account(key: str) -> str:
    return "{a:" + key + "}:"


def installation(key: str) -> str:
    return "{i:" + key + "}:"


def portal(member_id: str) -> str:
    return "{b:" + member_id + "}:"


EGRESS = "{e}:"
DEPLOYMENT = "{smsbridge}:"
