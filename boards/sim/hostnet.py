"""The simulated handheld's network: the host's sockets, gated by the conductor's link flag."""

import asyncio
import errno
import socket
from asyncio import core  # pyright: ignore[reportAttributeAccessIssue]


def parked():
    """This task waits until somebody pushes it: the bare yield of asyncio's own primitives."""
    yield


class Stream:
    """A TCP stream that ends when the simulated link goes down."""

    def __init__(self, net, sock):
        self._net = net
        self._sock = sock
        self._out = b""

    async def readinto(self, buf):
        """Bytes read; 0 when the peer or the link closed."""
        while self._sock:
            core._io_queue.queue_read(self._sock)
            await parked()
            if not self._sock:
                break
            got = self._sock.readinto(buf)
            if got is not None:
                return got
        return 0

    def write(self, data):
        """Queue bytes; drain() sends them."""
        self._out = self._out + data if self._out else data

    async def drain(self):
        """Send what write() queued; OSError when the peer or the link is gone."""
        out = memoryview(self._out)
        self._out = b""
        at = 0
        while at < len(out):
            if not self._sock:
                raise OSError(errno.ENOTCONN)
            sent = self._sock.write(out[at:])
            at += sent or 0
            if at < len(out):
                core._io_queue.queue_write(self._sock)
                await parked()

    async def close(self):
        self.cut()

    def cut(self):
        """Close now; whoever waits for the socket runs and sees it gone."""
        sock = self._sock
        if sock:
            self._sock = None
            waiting = core._io_queue.map.get(id(sock))
            if waiting:
                tasks = waiting[:2]
                core._io_queue._dequeue(sock)
                for task in tasks:
                    if task:
                        core._task_queue.push(task)
            sock.close()
            self._net.streams.remove(self)


class Net:
    """Sockets of the host, reachable while the host says that the link is up."""

    def __init__(self):
        self.streams = []
        self._up = False
        self._changed = asyncio.Event()

    def up(self):
        """Whether there is a link."""
        return self._up

    async def wait_change(self):
        """Return when the link goes up or down."""
        await self._changed.wait()

    def put(self, up):
        """The host's word on the link."""
        if up == self._up:
            return
        self._up = up
        if not up:
            for stream in list(self.streams):
                stream.cut()
        self._changed.set()
        self._changed.clear()

    async def connect(self, host, port):
        """A Stream; OSError when the link is down or the peer refuses."""
        if not self._up:
            raise OSError(errno.EHOSTUNREACH)
        where = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]
        sock = socket.socket(where[0], where[1], where[2])
        sock.setblocking(False)
        stream = Stream(self, sock)
        self.streams.append(stream)
        try:
            try:
                sock.connect(where[-1])
            except OSError as error:
                if error.errno != errno.EINPROGRESS:
                    raise
            core._io_queue.queue_write(sock)
            await parked()
            if not stream._sock:
                raise OSError(errno.ENOTCONN)
            try:
                sock.connect(where[-1])  # asked again, it tells how the first one went
            except OSError as error:
                if error.errno not in (56, 106):  # EISCONN on macOS, Linux
                    raise
        except BaseException:
            stream.cut()
            raise
        return stream
