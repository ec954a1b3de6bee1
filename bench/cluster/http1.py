"""A keep-alive HTTP/1.1 client that costs little: what is timed is the server, not the library."""
import json
import socket
import time

from spaces import Failed, connect_in

TIMEOUT_S = 60
IDLE_S = 5  # a connection that has rested longer may be closed by the server: a new one is opened


class Client:
    def __init__(self, where, netns=None):
        """where: the path of a unix socket, or (host, port), then of the namespace's loopback."""
        self.where, self.netns = where, netns
        self.socket = None
        self.rest = b""
        self.used = 0.0

    def open(self):
        if isinstance(self.where, tuple):
            self.socket = connect_in(self.netns, self.where)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT_S)
            self.socket.connect(str(self.where))
        self.rest = b""

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise Failed(f"{self.where} closed the connection")
        self.rest += piece

    def until(self, mark):
        while mark not in self.rest:
            self.more()
        head, _, self.rest = self.rest.partition(mark)
        return head

    def take(self, size):
        while len(self.rest) < size:
            self.more()
        body, self.rest = self.rest[:size], self.rest[size:]
        return body

    def body_of(self, head):
        for line in head.lower().split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name == b"content-length":
                return self.take(int(value))
            if name == b"transfer-encoding" and b"chunked" in value:
                pieces = []
                while size := int(self.until(b"\r\n"), 16):
                    pieces.append(self.take(size))
                    self.take(2)
                self.take(2)
                return b"".join(pieces)
        return b""

    def ask(self, method, path, body=None):
        """The answer as Python sees its JSON; a refusal is Failed."""
        answer = self.ask_bytes(method, path, body)
        return json.loads(answer) if answer else None

    def ask_text(self, path):
        return self.ask_bytes("GET", path).decode()

    def ask_bytes(self, method, path, body=None):
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if time.monotonic() - self.used > IDLE_S:
            self.close()
        if self.socket is None:
            self.open()
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        head = self.until(b"\r\n\r\n")
        answer = self.body_of(head)
        self.used = time.monotonic()
        if head.split(b" ", 2)[1][:1] != b"2":
            raise Failed(f"{method} {path}: {head.split(b' ', 2)[1].decode()} {answer[:300].decode(errors='replace')}")
        if b"connection: close" in head.lower():
            self.close()
        return answer
