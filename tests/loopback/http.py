"""HTTP of the server: who asks for what, what a fault makes of it, and the log."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from loopback.faults import FATES, STATUSES, Fault, RefusedError, error_body

if TYPE_CHECKING:
    from loopback.server import Loopback

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/00000000:11111111-2222-3333-4444-555555555555::"
PREFIX = "/api/v1"
DIRECT = "/experimental"
"""First part of the path in the direct route: the client leaves a URL with this word in it as it is."""
CONTROL = "/__control__"


@dataclass(frozen=True)
class Request:
    """One request, in the order in which they were answered."""

    time: float
    method: str
    host: str
    path: str
    query: str
    authorization: str
    status: int | None
    """None where the connection was closed without an answer."""
    fault: str | None
    sent_bytes: int
    received_bytes: int


def handler_of(service: Loopback) -> type[BaseHTTPRequestHandler]:
    """The handler of a service's requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # One packet for an answer: two would wait for each other.

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, BrokenPipeError):
                self.close_connection = True

        def _route(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # The client died while it was sending.
                self._drop()
                return
            url = urlsplit(self.path)
            path = url.path.removeprefix(DIRECT)
            if path.startswith(CONTROL):
                self._send(*service.control(self.command, path.removeprefix(CONTROL).strip("/"), body))
                return
            below = path.removeprefix(PREFIX)
            fault = service.faults.meet(self.command, below)
            status, sent = self._respond(url.hostname, below, parse_qs(url.query), body, fault)
            service.log.append(
                Request(
                    time=time.time(),
                    method=self.command,
                    host=url.hostname or self.headers.get("Host", "").partition(":")[0],
                    path=url.path,
                    query=url.query,
                    authorization=self.headers.get("Authorization", ""),
                    status=status,
                    fault=None if fault is None else fault.kind,
                    sent_bytes=sent,
                    received_bytes=len(body),
                )
            )

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _route  # noqa: N815

        def _respond(
            self, host: str | None, path: str, query: dict[str, list[str]], body: bytes, fault: Fault | None
        ) -> tuple[int | None, int]:
            """Status and length of the answer that was sent, after what the fault does to it."""
            kind = "" if fault is None else fault.kind
            if kind == "drop_before":
                return self._drop()
            if fault is not None and kind in STATUSES:
                headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                return self._send(int(kind), error_body(kind, fault.message, fault.code), headers)
            if fault is not None and kind == "quota":
                return self._send(403, error_body("quota", fault.message, fault.code))
            if fault is not None and kind == "delay":
                time.sleep(fault.seconds)
            try:
                status, answer = self._answer(host, path, query, body, fault if kind in FATES else None)
            except RefusedError as refusal:
                status, answer = refusal.status, refusal.body
            except (KeyError, TypeError, ValueError) as error:
                status, answer = 400, error_body("400", f"Request validation failed, because: {error!r}")
            if kind == "drop_after":
                return self._drop()
            if fault is not None and kind == "delay_after":
                time.sleep(fault.seconds)
            if kind == "made_but_503":
                return self._send(503, error_body("503"))
            if kind == "error_json":
                return self._send(200, error_body("500"))
            if kind == "empty":
                return self._send(200, "")
            if kind == "half":
                text = answer if isinstance(answer, str) else json.dumps(answer)
                return self._send(200, text[: len(text) // 2])
            if kind == "garbage":
                return self._send(status, "<html><body>The service is being updated.</body></html>")
            return self._send(status, answer, cut=kind == "truncate")

        def _answer(
            self, host: str | None, path: str, query: dict[str, list[str]], body: bytes, fate: Fault | None
        ) -> tuple[int, Any]:
            parts = path.strip("/").split("/")
            if (self.command, parts) == ("POST", ["identity", "token"]):
                if parse_qs(body.decode()).get("apikey") == [service.key]:
                    return 200, service.issue_token()
                return 400, {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}
            if not service.authorized(self.headers.get("Authorization", "")):
                raise RefusedError(401, "You are not authorized to perform this action.", 1200)
            if parts == ["v3", "resources", "search"]:
                item = {"crn": service.crn, "name": "loopback", "tags": [], "service_plan_unique_id": service.plan}
                return 200, {"items": [{**item, "doc": {"extensions": {"backends": len(service.devices)}}}]}
            if (host or "").startswith("globalcatalog"):
                pricing = {"type": "free" if service.plan == "open" else "paid"}
                return 200, {
                    "overview_ui": {"en": {"display_name": service.plan.capitalize()}},
                    "metadata": {"pricing": pricing},
                }
            if self.headers.get("Service-CRN") != service.crn:
                raise RefusedError(403, "The instance is not one of this account.", 1201)
            return service.answer(self.command, parts, query, body, fate)

        def _drop(self) -> tuple[None, int]:
            self.close_connection = True
            return None, 0

        def _send(
            self, status: int, answer: Any, headers: dict[str, str] | None = None, *, cut: bool = False
        ) -> tuple[int, int]:
            text = answer if isinstance(answer, str) else json.dumps(answer)
            data = b"" if status == 204 else text.encode()
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self.close_connection = True
            return status, len(data)

    return Handler
