"""One change to the client's transport: a POST whose answer was lost is not sent a second time.

The client's session repeats requests. Behind a proxy that includes a POST whose connection broke after it was sent, and
the job that it made is then made twice. Here such a POST ends, and the job is looked for by its tag. All else is the
client's own: it repeats a POST whose connection was never made, and one that is answered 5xx, which IBM calls safe.
"""

from __future__ import annotations

from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter


class PostOnceAdapter(HTTPAdapter):
    """An adapter that sends a POST once, and leaves every other request to the adapter it stands before."""

    __attrs__ = [*HTTPAdapter.__attrs__, "theirs"]  # noqa: RUF012 - requests copies these

    def __init__(self, theirs: HTTPAdapter) -> None:
        # "other" is what urllib3 counts a connection under that broke behind a proxy.
        super().__init__(max_retries=theirs.max_retries.new(other=0))
        self.theirs = theirs

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Send a request."""
        if request.method == "POST":
            return super().send(request, *args, **options)
        return self.theirs.send(request, *args, **options)

    def close(self) -> None:
        """Close the connections of both."""
        super().close()
        self.theirs.close()


def post_once(session: Session) -> None:
    """Mount the adapter on a session of the client's, before those it has."""
    for prefix, adapter in list(session.adapters.items()):
        if isinstance(adapter, HTTPAdapter) and not isinstance(adapter, PostOnceAdapter):
            session.mount(prefix, PostOnceAdapter(adapter))
