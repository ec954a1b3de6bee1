// A peer for bench/stoq: s2n-quic (over rustls) with the same command line and protocol as bench/stoq/quicgo.
#[path = "../../common/peer.rs"]
mod peer;
#[path = "../../common/tls.rs"]
mod tls;

use std::{future::poll_fn, net::SocketAddr, sync::atomic::{AtomicU64, Ordering}, time::{Duration, Instant}};

use bytes::Bytes;
use peer::{Anything, Task};
use s2n_quic::{client::Connect, connection::{Connection, Error, Handle}, provider::{datagram, io, limits::Limits, tls::rustls}, stream::BidirectionalStream, Client, Server};
use tokio::io::AsyncReadExt;

const DATAGRAMS_WAITING: usize = 1024;
const UDP_IPV4_HEADERS: u16 = 28; // what s2n-quic takes off an MTU, for either IP
const GSO_MTU_MAX: u16 = 32_000; // it crashes when two packets do not fit into one send

static DATAGRAMS: AtomicU64 = AtomicU64::new(0);

/// Datagrams that come are counted; those to send wait in s2n-quic's own queue.
struct Counted(datagram::default::Endpoint);
struct Counter;

impl datagram::Endpoint for Counted {
    type Sender = datagram::default::Sender;
    type Receiver = Counter;
    fn create_connection(&mut self, info: &datagram::ConnectionInfo) -> (Self::Sender, Self::Receiver) { (self.0.create_connection(info).0, Counter) }
    fn max_datagram_frame_size(&self, info: &datagram::PreConnectionInfo) -> u64 { self.0.max_datagram_frame_size(info) }
}

impl datagram::Receiver for Counter {
    fn on_datagram(&mut self, _: &datagram::ReceiveContext, _: &[u8]) { DATAGRAMS.fetch_add(1, Ordering::Relaxed); }
    fn on_connection_error(&mut self, _: Error) {}
}

fn counted() -> Anything<Counted> {
    Ok(Counted(datagram::default::Endpoint::builder().with_send_capacity(DATAGRAMS_WAITING)?.with_recv_capacity(1)?.build()?))
}

fn limits() -> Anything<Limits> {
    let window = u64::from(peer::STREAM_WINDOW_BYTES);
    Ok(Limits::new().with_data_window(peer::CONNECTION_WINDOW_BYTES.into())?
        .with_bidirectional_local_data_window(window)?.with_bidirectional_remote_data_window(window)?
        .with_max_open_local_bidirectional_streams(peer::STREAMS_MAX.into())?.with_max_open_remote_bidirectional_streams(peer::STREAMS_MAX.into())?
        .with_max_send_buffer_size(peer::STREAM_WINDOW_BYTES)?)
}

fn udp(address: SocketAddr) -> Anything<io::tokio::Provider> {
    let mtu = peer::mtu()?.saturating_add(UDP_IPV4_HEADERS);
    let offload = mtu <= GSO_MTU_MAX;
    Ok(io::tokio::Builder::default().with_rx_socket(peer::socket(address)?)?.with_max_mtu(mtu)?.with_initial_mtu(mtu)?.with_gso(offload)?.build()?)
}

async fn serve(stream: BidirectionalStream) -> Anything<()> {
    let (mut receive, mut send) = stream.split();
    let mut chunks = vec![Bytes::new(); 64];
    let mut total = 0u64;
    loop {
        let (count, open) = receive.receive_vectored(&mut chunks).await?;
        for chunk in &mut chunks[..count] { total += std::mem::take(chunk).len() as u64; }
        if !open { break; }
    }
    send.send(Bytes::copy_from_slice(&total.to_be_bytes())).await?;
    send.finish()?;
    Ok(())
}

async fn server(port: u16) -> Anything<()> {
    let mut server = Server::builder().with_tls(rustls::Server::from(tls::server()?))?.with_io(udp(SocketAddr::new(peer::host()?, port))?)?
        .with_limits(limits()?)?.with_datagram(counted()?)?.start()?;
    println!("ready {}", server.local_addr()?);
    tokio::spawn(async move {
        while let Some(mut connection) = server.accept().await {
            tokio::spawn(async move {
                while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await { tokio::spawn(serve(stream)); }
            });
        }
    });
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    peer::print_server(DATAGRAMS.load(Ordering::Relaxed));
    std::process::exit(0);
}

fn endpoint() -> Anything<Client> {
    Ok(Client::builder().with_tls(rustls::Client::from(tls::client()?))?.with_io(udp("[::]:0".parse()?)?)?.with_limits(limits()?)?.with_datagram(counted()?)?.start()?)
}

async fn connect(endpoint: &Client, address: SocketAddr) -> Anything<Connection> {
    Ok(endpoint.connect(Connect::new(address).with_server_name("localhost")).await?)
}

async fn answer(stream: &mut BidirectionalStream) -> Anything<u64> {
    let mut answer = Vec::new();
    while let Some(chunk) = stream.receive().await? { answer.extend_from_slice(&chunk); }
    Ok(u64::from_be_bytes(answer.as_slice().try_into()?))
}

async fn send_for(mut handle: Handle, until: Instant) -> Anything<u64> {
    let mut stream = handle.open_bidirectional_stream().await?;
    let piece = Bytes::from(vec![0u8; peer::PIECE_BYTES]);
    while Instant::now() < until { stream.send(piece.clone()).await?; }
    stream.finish()?;
    answer(&mut stream).await
}

/// A byte that the server answers: only then has it, too, seen all of the handshake.
async fn ask_once(connection: &mut Connection) -> Anything<()> {
    let mut stream = connection.open_bidirectional_stream().await?;
    stream.send(Bytes::from_static(b"?")).await?;
    stream.finish()?;
    answer(&mut stream).await?;
    Ok(())
}

async fn streams(address: SocketAddr, connections: usize, streams: usize, seconds: f64) -> Anything<()> {
    let endpoint = endpoint()?;
    let mut open = Vec::new();
    for _ in 0..connections { open.push(connect(&endpoint, address).await?); }
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let until = start + Duration::from_secs_f64(seconds);
    let mut tasks = Vec::new();
    for connection in &open {
        for _ in 0..streams { tasks.push(tokio::spawn(send_for(connection.handle(), until))); }
    }
    let mut total = 0;
    for task in tasks { total += task.await??; }
    peer::print_streams(total, start.elapsed().as_secs_f64(), peer::cpu_seconds() - cpu);
    Ok(())
}

async fn handshakes(address: SocketAddr, seconds: f64, at_once: usize) -> Anything<()> {
    let endpoint = endpoint()?;
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let mut tasks = Vec::new();
    for _ in 0..at_once {
        let endpoint = endpoint.clone();
        tasks.push(tokio::spawn(async move {
            let mut count = 0u64;
            while start.elapsed().as_secs_f64() < seconds {
                let mut connection = connect(&endpoint, address).await?;
                ask_once(&mut connection).await?;
                connection.close(0u32.into());
                count += 1;
            }
            Anything::Ok(count)
        }));
    }
    let mut count = 0;
    for task in tasks { count += task.await??; }
    peer::print_handshakes(count, start.elapsed().as_secs_f64(), peer::cpu_seconds() - cpu);
    Ok(())
}

async fn datagrams(address: SocketAddr, bytes_each: usize, seconds: f64) -> Anything<()> {
    let endpoint = endpoint()?;
    let mut connection = connect(&endpoint, address).await?;
    ask_once(&mut connection).await?;
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let piece = Bytes::from(vec![0u8; bytes_each]);
    let mut sent = 0u64;
    while start.elapsed().as_secs_f64() < seconds {
        // As many as the queue has room for at a time: asking for each alone costs more than sending it.
        poll_fn(|context| {
            connection.datagram_mut(|sender: &mut datagram::default::Sender| {
                for taken in 0.. {
                    match sender.poll_send_datagram(&mut piece.clone(), context) {
                        std::task::Poll::Ready(Ok(())) => sent += 1,
                        std::task::Poll::Ready(Err(error)) => return std::task::Poll::Ready(Err(error.to_string())),
                        std::task::Poll::Pending if taken == 0 => return std::task::Poll::Pending,
                        std::task::Poll::Pending => break,
                    }
                }
                std::task::Poll::Ready(Ok(()))
            }).unwrap_or_else(|error| std::task::Poll::Ready(Err(error.to_string())))
        }).await?;
    }
    let elapsed = start.elapsed().as_secs_f64();
    ask_once(&mut connection).await?;
    peer::print_datagrams(sent, bytes_each, elapsed, peer::cpu_seconds() - cpu);
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Anything<()> {
    match peer::task()? {
        Task::Server(port) => server(port).await,
        Task::Client { address, connections, streams: each, seconds } => streams(address, connections, each, seconds).await,
        Task::Handshakes { address, seconds, at_once } => handshakes(address, seconds, at_once).await,
        Task::Datagrams { address, bytes_each, seconds } => datagrams(address, bytes_each, seconds).await,
    }
}
