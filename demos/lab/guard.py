"""Who may ask: this machine's own browser, by this machine's own pages.

- A Host header with a foreign name is refused: a stranger's domain may point to 127.0.0.1 (DNS
  rebinding), and its pages would then count as ours.
- What changes something needs the token that only our pages carry, and must not come from another
  site's page: ``Sec-Fetch-Site``, or ``Origin`` in browsers that do not send that.
- Every page says what a browser may load: from here alone, no script or style within the page.
"""

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

from miniasgi import HTTPException, Request

TOKEN = "token"  #: the form's field
#: "same-origin", not "no-referrer": with that one a browser's own forms have the Origin "null".
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """A function around all endpoints: ``app.add_middleware(guard)``; and the token of its lab."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self.token = secrets.token_urlsafe(24)
        self.names = {"localhost", *names}

    async def __call__(
        self, request: Request, call_next: Callable[[Request], Awaitable[Any]]
    ) -> Any:
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            raise HTTPException(421, "This lab is not known by that name.")
        if request.method not in ("GET", "HEAD"):
            await self._check(request, host)
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _is_ours(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)  # an address is nobody's domain
        except ValueError:
            return False
        return True

    async def _check(self, request: Request, host: str) -> None:
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site not in (None, "same-origin"):
            raise HTTPException(403, "Only the lab's own pages may do that.")
        if origin is not None and urlsplit(origin).netloc != host:
            raise HTTPException(403, "Only the lab's own pages may do that.")
        given = str((await request.form()).get(TOKEN, ""))
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise HTTPException(
                403, "This page is from before the lab was started again: go back and reload it."
            )
