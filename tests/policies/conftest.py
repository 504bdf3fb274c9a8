"""Real sockets that misbehave as real servers do."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress

import pytest

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds: closing sends a reset


class RawServer:
    """Listens on loopback and does to each connection what one of its methods says."""

    def __init__(self, behaviour):
        self.closing = threading.Event()
        self.is_http = not callable(behaviour)
        self.behave = self.chosen(behaviour)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.thread = threading.Thread(target=self.serve, name="raw server")
        self.thread.start()

    def chosen(self, behaviour):
        if callable(behaviour):
            return behaviour
        return getattr(self, behaviour) if isinstance(behaviour, str) else self.answer(*behaviour)

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                if self.closing.is_set():
                    return
                connection.settimeout(30)
                with suppress(OSError):  # the client may have left
                    if self.is_http:
                        connection.recv(65536)
                    self.behave(connection)

    def close(self):
        self.closing.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join()
        self.listener.close()

    def reset(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def hang_up(self, connection):
        connection.shutdown(socket.SHUT_RDWR)

    def cut_off(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    def cut_off_chunk(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf")

    def silence(self, connection):
        connection.settimeout(30)
        with suppress(OSError):
            connection.recv(1)  # until the client gives up

    def rubbish(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")

    def answer(self, status, headers="", body="{}"):
        reply = f"HTTP/1.1 {status} Text\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n{body}".encode()
        return lambda connection: connection.sendall(reply)


@pytest.fixture
def serve():
    """A context that serves one behaviour: a method of RawServer, a status, header lines and a body, or a function of the connection."""

    @contextmanager
    def serving(behaviour):
        server = RawServer(behaviour)
        try:
            yield server.url
        finally:
            server.close()

    return serving


@pytest.fixture
def closed_port():
    """A URL where nobody listens, nor can anybody begin to meanwhile: the port is taken."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/"
