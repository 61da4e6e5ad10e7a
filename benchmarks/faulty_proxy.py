"""An HTTP proxy before an object store that spoils a share of the answers, as large stores under load do.

Every request is forwarded as it is (path, headers and signature unchanged), or meets one of ``FAULTS``, drawn from
a seed. Bodies are held in memory, at most ``MOST_BYTES`` each and ``MOST_REQUESTS`` at a time.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

LOOPBACK = "127.0.0.1"
MOST_BYTES, MOST_REQUESTS = 64 << 20, 32
# What can go wrong: two answers of a store under load, connections that end before the request has reached the store
# and after (its work is done, its answer lost), an answer seconds late, and one that ends in its middle.
FAULTS = ("slow_down", "internal_error", "reset", "answer_lost", "late", "truncated")
ERRORS = {"slow_down": (503, "SlowDown"), "internal_error": (500, "InternalError")}
FORBIDDEN = "forbidden"  # not drawn: nobody asks again after it
ERRORS[FORBIDDEN] = (403, "InvalidAccessKeyId")
HOP_BY_HOP = ("Connection", "Expect", "Keep-Alive", "Transfer-Encoding")

Chooser = Callable[[web.Request], str | None]


class FaultyProxy:
    """A proxy to the server at ``upstream`` (http://HOST:PORT) on a free port of loopback; a context manager.

    Each request meets a fault with probability ``rate``, or the one that ``choose`` names (None: none). ``seconds``
    is how late a late answer comes. ``requests`` counts all, ``injected`` those spoilt, by kind.
    """

    def __init__(
        self,
        upstream: str,
        rate: float = 0.05,
        seed: int = 0,
        seconds: float = 2.0,
        choose: Chooser | None = None,
        kinds: tuple[str, ...] = FAULTS,
    ) -> None:
        self.upstream, self.seconds = upstream.rstrip("/"), seconds
        self.requests, self.injected = 0, Counter[str]()
        self.random, self.rate, self.kinds = random.Random(seed), rate, kinds
        self.choose = choose or self._draw
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> FaultyProxy:
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _start(self) -> None:
        self.places, self.ending = asyncio.Semaphore(MOST_REQUESTS), asyncio.Event()
        self.session = aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=("Content-Type", "User-Agent"))
        application = web.Application(client_max_size=MOST_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=1, auto_decompress=False)
        await self.runner.setup()
        site = web.TCPSite(self.runner, LOOPBACK, 0)
        await site.start()
        self.url = f"http://{LOOPBACK}:{self.runner.addresses[0][1]}"

    async def _stop(self) -> None:
        self.ending.set()
        await self.runner.cleanup()
        await self.session.close()

    def _draw(self, request: web.Request) -> str | None:
        return self.random.choice(self.kinds) if self.random.random() < self.rate else None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        async with self.places:
            self.requests += 1
            fault = self.choose(request)
            if fault == "truncated" and request.method != "GET":
                fault = "reset"  # only a GET has a body to cut
            if fault:
                self.injected[fault] += 1
            if fault == "late":
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.ending.wait(), self.seconds)
            if fault == "reset" or self.ending.is_set():
                return _cut(request)
            data = await request.read()
            if fault in ERRORS:
                return _error(*ERRORS[fault])
            status, headers, body = await self._forward(request, data)
            if fault == "answer_lost":
                return _cut(request)
            answer = web.StreamResponse(status=status, headers=headers)
            if fault == "truncated" and body:
                await answer.prepare(request)
                await answer.write(body[: len(body) // 2])
                return _cut(request)
            await answer.prepare(request)
            if request.method != "HEAD":
                await answer.write(body)
            return answer

    async def _forward(self, request: web.Request, data: bytes) -> tuple[int, Mapping[str, str], bytes]:
        headers: CIMultiDict[str] = CIMultiDict(request.headers)
        for name in HOP_BY_HOP:
            headers.popall(name, None)
        where = URL(self.upstream + request.raw_path, encoded=True)
        async with self.session.request(
            request.method, where, headers=headers, data=data or None, allow_redirects=False
        ) as answer:
            body = await answer.read()
            told: CIMultiDict[str] = CIMultiDict(answer.headers)
        for name in HOP_BY_HOP:
            told.popall(name, None)
        if request.method != "HEAD":
            told["Content-Length"] = str(len(body))
        return answer.status, told, body


def _cut(request: web.Request) -> web.StreamResponse:
    """End the connection with a reset, whatever has been sent."""
    transport: Any = request.transport
    if transport is not None:
        transport.abort()
    return web.Response()


def _error(status: int, code: str) -> web.Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>injected</Message></Error>'
    return web.Response(status=status, body=body.encode(), content_type="application/xml")
