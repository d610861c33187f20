"""Which addresses our tokens may be sent to: the portal's REST endpoint, where it moved, and the OAuth host.

Pure checks of text. That an endpoint belongs to the portal it claims is `oauth.app_info`'s business.
Plain http is for the sandbox alone.
"""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from smsbridge.core import errors

DEFAULT_OAUTH = "https://oauth.bitrix.info"
# The documented host, and the one that Bitrix24's own SDKs know besides.
OAUTH_HOSTS = frozenset({"oauth.bitrix.info", "oauth.bitrix24.tech"})


def check(url: str, *, sandbox: bool = False) -> str:
    """`url` with a slash at its end, fit to append a method's name. Raises InputError otherwise."""
    parts = _split(url)
    if parts is None or not _scheme_allowed(parts, sandbox=sandbox):
        raise errors.InputError(
            "not an https address of a portal; install the application again", field="client_endpoint"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


def moved(location: str, *, endpoint: str, method: str, sandbox: bool = False) -> str | None:
    """The endpoint a renamed portal's redirect leads to; None where we would send no token.

    A redirect repeats the called path on the new host. One that does not keeps our path.
    """
    parts = _split(location)
    if parts is None or not _scheme_allowed(parts, sandbox=sandbox):
        return None
    if not sandbox and not _public_name(parts.hostname or ""):
        return None
    path = parts.path
    for suffix in (method, f"{method}.json"):
        if path.endswith(f"/{suffix}"):
            path = path.removesuffix(suffix)
            break
    else:
        path = urlsplit(endpoint).path
    new = f"{parts.scheme}://{parts.netloc}{path}"
    return None if new == endpoint else new


def oauth_base(server_endpoint: str, *, override: str = "") -> str:
    """The OAuth host from an installation's `server_endpoint` (`https://oauth.bitrix.info/rest/`), without a
    slash at its end. Empty means the documented host. `override` is the sandbox's, and wins. Raises
    InputError for a stranger.
    """
    if override:
        return check(override, sandbox=True).rstrip("/")
    if not server_endpoint:
        return DEFAULT_OAUTH
    parts = _split(server_endpoint)
    if parts is None or parts.scheme != "https" or parts.netloc.lower() not in OAUTH_HOSTS:
        raise errors.InputError(
            "not one of Bitrix24's OAuth hosts; install the application again", field="server_endpoint"
        )
    return f"https://{parts.netloc.lower()}"


def _split(url: str) -> SplitResult | None:
    """None for what is no absolute URL, or carries more than a host and a path."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc or "\\" in url:
        return None
    return parts


def _scheme_allowed(parts: SplitResult, *, sandbox: bool) -> bool:
    return parts.scheme == "https" or (sandbox and parts.scheme == "http")


def _public_name(host: str) -> bool:
    """A redirect must not lead a token to a bare address or a name of this machine's own network."""
    try:
        ip_address(host)
    except ValueError:
        return "." in host.strip(".")
    return False
