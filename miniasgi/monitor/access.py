"""Who may act: whoever has the token, and never a page of another site on their behalf.

A script sends ``Authorization: Bearer <token>``. A browser signs in once and gets a cookie that is
signed with the token; what it posts must come from a page of ours (Sec-Fetch-Site, or Origin where
a browser does not send that) and carry the word that only such a page knows.

Rules of this file: nothing is kept in memory, so all processes agree; secrets are compared in
constant time; whoever is refused learns no more than that.
"""

import hmac
import secrets
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from miniasgi.exceptions import HTTPException
from miniasgi.requests import Request
from miniasgi.responses import Response

COOKIE = "miniasgi_monitor"
LASTS = 8 * 3_600  #: seconds


@dataclass(frozen=True)
class Access:
    """What a token allows. Without one nobody can act."""

    token: str | None

    def sign(self, words: str) -> str:
        return hmac.new((self.token or "").encode(), words.encode(), "sha256").hexdigest()

    def is_token(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(
            given.encode("utf-8", "replace"), self.token.encode()
        )

    def session(self, request: Request) -> str | None:
        """The session's cookie, if it is one that we gave and has not expired."""
        cookie = request.cookies.get(COOKIE, "")
        begin, _, signature = cookie.rpartition(".")
        expires_at = begin.rpartition(".")[2]
        is_ours = hmac.compare_digest(signature.encode(), self.sign(f"session {begin}").encode())
        if self.token is None or not is_ours or time.time() > float(expires_at):
            return None
        return cookie

    def word(self, request: Request) -> str | None:
        """What a form of ours carries in this session; None: not signed in."""
        session = self.session(request)
        return None if session is None else self.sign(f"form {session}")

    def let_in(self, request: Request, response: Response) -> None:
        """Begin a session."""
        begin = f"{secrets.token_urlsafe(16)}.{int(time.time()) + LASTS}"
        response.set_cookie(
            COOKIE,
            f"{begin}.{self.sign(f'session {begin}')}",
            max_age=LASTS,
            path=_path(request),
            secure=request["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )

    def let_out(self, request: Request, response: Response) -> None:
        response.delete_cookie(COOKIE, path=_path(request), samesite="strict")

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form of ours. Raises HTTPException 403 if another site sent it."""
        must_be_ours(request)
        body = (await request.body()).decode("utf-8", "replace")
        return dict(parse_qsl(body, keep_blank_values=True))

    async def action(self, request: Request) -> dict[str, str]:
        """The fields of an action that may be done. Raises HTTPException 401 or 403."""
        if self.token is None:
            raise HTTPException(403, "This monitor only shows: it was given no token.")
        fields = await self.form(request)
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind:
            if kind.lower() != "bearer" or not self.is_token(given.strip()):
                raise HTTPException(401, "This is not the token.", {"www-authenticate": "Bearer"})
            return fields
        word = self.word(request)
        if word is None:
            raise HTTPException(401, "Sign in to do this.", {"www-authenticate": "Bearer"})
        if not hmac.compare_digest(fields.pop("word", "").encode(), word.encode()):
            raise HTTPException(403, "This form is not of this session: load its page again.")
        return fields


def must_be_ours(request: Request) -> None:
    """Refuse what a page of another site has sent. A client that is no browser says neither."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is None and origin is not None:
        site = "same-origin" if urlsplit(origin).netloc == request.headers.get("host") else "cross"
    if site not in (None, "none", "same-origin"):
        raise HTTPException(403, "Another site sent this.")


def _path(request: Request) -> str:
    """Where the monitor is, as browsers write it; but a ``;`` would end the cookie's attribute."""
    return quote(request.get("root_path", ""), safe="/!$&'()*+,:=@~") or "/"
