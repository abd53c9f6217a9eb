"""A way out through an HTTP proxy: the CONNECT method (RFC 9110, 9.3.6)."""

from __future__ import annotations

import asyncio
import base64
import re
import socket

from gateway.config import ProxyConfig

ANSWER_BOUND = 8192
"""Bytes of a proxy's answer that are read at most."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


async def tunnel(proxy: ProxyConfig, host: str, port: int) -> socket.socket:
    """A connected socket on whose other end is `host`, `port`. Not blocking.

    Raises OSError when the proxy cannot be reached or refuses. The caller keeps the time.
    """
    sock = await _connected(proxy.host, proxy.port)
    try:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(
            sock, _request(proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        )
        answer = bytearray()
        # Byte by byte: what follows the answer belongs to whoever gets the socket.
        while not answer.endswith(b"\r\n\r\n"):
            byte = await loop.sock_recv(sock, 1)
            if not byte or len(answer) >= ANSWER_BOUND:
                raise OSError(f"the proxy {proxy.host}:{proxy.port} gave no answer")
            answer += byte
        status = _STATUS.match(answer)
        if status is None or not status[1].startswith(b"2"):
            said = status[1].decode() if status is not None else "no status"
            raise OSError(f"the proxy {proxy.host}:{proxy.port} refused: {said}")
    except BaseException:
        sock.close()
        raise
    return sock


def _request(proxy: ProxyConfig, authority: str) -> bytes:
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.username:
        credentials = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    lines += [f"{key}: {value}" for key, value in proxy.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _connected(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure = OSError(f"no address for the proxy {host}")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except OSError as exc:
            sock.close()
            failure = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure
