"""The other end of the interoperability tests, over aioquic.

    aioquic_peer.py serve CERT KEY ADDRESS                says "port N", sends back what comes, until its input ends
    aioquic_peer.py call CERT KEY ADDRESS STREAMS BYTES   so many streams at once, so many bytes on each; compares
"""
import asyncio
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived

WAIT_SECONDS = 60


def configuration(cert, key, client):
    made = QuicConfiguration(is_client=client, alpn_protocols=["interop"], server_name="interop.test")
    made.load_cert_chain(cert, key)
    made.verify_mode = ssl.CERT_NONE  # the other end compares certificates; who is called is not in question here
    return made


class Echo(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            self._quic.send_stream_data(event.stream_id, event.data, event.end_stream)
            self.transmit()


async def answer(cert, key, host, port):
    server = await serve(host, port, configuration=configuration(cert, key, False), create_protocol=Echo)
    print("port", server._transport.get_extra_info("sockname")[1], flush=True)  # pylint: disable=protected-access
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


def content(stream, size):
    return bytes((stream * 41 + i * 131 + (i >> 8) * 7) & 255 for i in range(size))


async def one(client, number, size):
    reader, writer = await client.create_stream()
    data = content(number, size)
    writer.write(data)
    writer.write_eof()
    back = await reader.read()
    if back != data:
        raise ValueError(f"stream {number}: {len(back)} of {size} bytes, or changed")


async def ask(cert, key, host, port, streams, size):
    async with connect(host, port, configuration=configuration(cert, key, True)) as client:
        await asyncio.wait_for(asyncio.gather(*(one(client, n, size) for n in range(streams))), WAIT_SECONDS)
        print("group", client._quic.tls.key_schedule.cipher_suite.name)  # pylint: disable=protected-access


def main():
    role, cert, key, address = sys.argv[1:5]
    host, port = address.rsplit(":", 1)
    host = host.strip("[]")
    if role == "serve":
        asyncio.run(answer(cert, key, host, int(port)))
    else:
        asyncio.run(ask(cert, key, host, int(port), int(sys.argv[5]), int(sys.argv[6])))


main()
