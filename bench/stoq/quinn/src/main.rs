// A peer for bench/stoq: quinn with the same command line and protocol as bench/stoq/quicgo.
#[path = "../../common/peer.rs"]
mod peer;
#[path = "../../common/tls.rs"]
mod tls;

use std::{net::SocketAddr, sync::{atomic::{AtomicU64, Ordering}, Arc}, time::{Duration, Instant}};

use peer::{Anything, Task};
use quinn::{crypto::rustls::{QuicClientConfig, QuicServerConfig}, ClientConfig, Connection, Endpoint, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt};
use tokio::io::AsyncReadExt;

const DATAGRAMS_WAITING_BYTES: usize = 4 << 20;

static DATAGRAMS: AtomicU64 = AtomicU64::new(0);

fn transport(mtu: u16) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.stream_receive_window(VarInt::from_u32(peer::STREAM_WINDOW_BYTES)).receive_window(VarInt::from_u32(peer::CONNECTION_WINDOW_BYTES)).send_window(peer::CONNECTION_WINDOW_BYTES.into());
    config.initial_mtu(mtu).min_mtu(mtu.min(1452)).max_concurrent_bidi_streams(VarInt::from_u32(peer::STREAMS_MAX));
    config.datagram_receive_buffer_size(Some(DATAGRAMS_WAITING_BYTES)).datagram_send_buffer_size(DATAGRAMS_WAITING_BYTES);
    config.enable_segmentation_offload(mtu <= 6500); // it always makes ten segments of one send, which holds 64 KiB
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(mtu);
    config.mtu_discovery_config(Some(discovery));
    Arc::new(config)
}

fn server_config(mtu: u16) -> Anything<ServerConfig> {
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls::server()?)?));
    config.transport_config(transport(mtu));
    Ok(config)
}

fn client_endpoint() -> Anything<Endpoint> {
    let mtu = peer::mtu()?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls::client()?)?));
    config.transport_config(transport(mtu));
    let mut endpoint = Endpoint::new(endpoint_config(mtu)?, None, peer::socket("[::]:0".parse()?)?, Arc::new(quinn::TokioRuntime))?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

fn endpoint_config(mtu: u16) -> Anything<quinn::EndpointConfig> {
    let mut config = quinn::EndpointConfig::default();
    config.max_udp_payload_size(mtu.max(1472))?;
    Ok(config)
}

async fn serve(connection: Connection) -> Anything<()> {
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        tokio::spawn(async move {
            let mut total = 0u64;
            while let Some(chunk) = receive.read_chunk(usize::MAX, true).await? { total += chunk.bytes.len() as u64; }
            send.write_all(&total.to_be_bytes()).await?;
            send.finish()?;
            Anything::Ok(())
        });
    }
}

async fn count_datagrams(connection: Connection) {
    while connection.read_datagram().await.is_ok() { DATAGRAMS.fetch_add(1, Ordering::Relaxed); }
}

async fn server(port: u16) -> Anything<()> {
    let mtu = peer::mtu()?;
    let endpoint = Endpoint::new(endpoint_config(mtu)?, Some(server_config(mtu)?), peer::socket(SocketAddr::new(peer::host()?, port))?, Arc::new(quinn::TokioRuntime))?;
    println!("ready {}", endpoint.local_addr()?);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let connection = incoming.await?;
                tokio::spawn(count_datagrams(connection.clone()));
                serve(connection).await
            });
        }
    });
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    peer::print_server(DATAGRAMS.load(Ordering::Relaxed));
    std::process::exit(0);
}

async fn send_for(connection: Connection, until: Instant) -> Anything<u64> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let piece = vec![0u8; peer::PIECE_BYTES];
    while Instant::now() < until { send.write_all(&piece).await?; }
    send.finish()?;
    let mut answer = [0u8; 8];
    receive.read_exact(&mut answer).await?;
    Ok(u64::from_be_bytes(answer))
}

/// A byte that the server answers: only then has it, too, seen all of the handshake.
async fn ask_once(connection: &Connection) -> Anything<()> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(b"?").await?;
    send.finish()?;
    receive.read_exact(&mut [0u8; 8]).await?;
    Ok(())
}

async fn streams(address: SocketAddr, connections: usize, streams: usize, seconds: f64) -> Anything<()> {
    let endpoint = client_endpoint()?;
    let mut open = Vec::new();
    for _ in 0..connections { open.push(endpoint.connect(address, "localhost")?.await?); }
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let until = start + Duration::from_secs_f64(seconds);
    let mut tasks = Vec::new();
    for connection in &open {
        for _ in 0..streams { tasks.push(tokio::spawn(send_for(connection.clone(), until))); }
    }
    let mut total = 0;
    for task in tasks { total += task.await??; }
    peer::print_streams(total, start.elapsed().as_secs_f64(), peer::cpu_seconds() - cpu);
    Ok(())
}

async fn handshakes(address: SocketAddr, seconds: f64, at_once: usize) -> Anything<()> {
    let endpoint = client_endpoint()?;
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let mut tasks = Vec::new();
    for _ in 0..at_once {
        let endpoint = endpoint.clone();
        tasks.push(tokio::spawn(async move {
            let mut count = 0u64;
            while start.elapsed().as_secs_f64() < seconds {
                let connection = endpoint.connect(address, "localhost")?.await?;
                ask_once(&connection).await?;
                connection.close(VarInt::from_u32(0), b"");
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
    let endpoint = client_endpoint()?;
    let connection = endpoint.connect(address, "localhost")?.await?;
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let piece = bytes::Bytes::from(vec![0u8; bytes_each]);
    let mut sent = 0u64;
    while start.elapsed().as_secs_f64() < seconds {
        connection.send_datagram_wait(piece.clone()).await?;
        sent += 1;
    }
    let elapsed = start.elapsed().as_secs_f64();
    ask_once(&connection).await?;
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
