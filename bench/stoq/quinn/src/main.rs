// A peer for bench/stoq: quinn with the same command line and protocol as bench/stoq/quicgo.
use std::{net::SocketAddr, sync::Arc, time::{Duration, Instant}};

use quinn::{crypto::rustls::{QuicClientConfig, QuicServerConfig}, ClientConfig, Connection, Endpoint, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt};
use rustls::{client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
             pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
             server::danger::{ClientCertVerified, ClientCertVerifier}, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tokio::io::AsyncReadExt;

type Anything<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
const PIECE_BYTES: usize = 1 << 18;

/// The comparison is of speed: any certificate will do, but its key must sign.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(&self, _: &CertificateDer, _: &[CertificateDer], _: &ServerName, _: &[u8], _: UnixTime) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(&self, m: &[u8], c: &CertificateDer, d: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(&self, m: &[u8], c: &CertificateDer, d: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> { self.0.signature_verification_algorithms.supported_schemes() }
}

impl ClientCertVerifier for Anyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] { &[] }
    fn verify_client_cert(&self, _: &CertificateDer, _: &[CertificateDer], _: UnixTime) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(&self, m: &[u8], c: &CertificateDer, d: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(&self, m: &[u8], c: &CertificateDer, d: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> { self.0.signature_verification_algorithms.supported_schemes() }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(provider)
}

fn identity() -> Anything<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let cert = rcgen::CertificateParams::new(vec!["localhost".to_string()])?.self_signed(&key)?;
    Ok((vec![cert.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into())))
}

fn transport(mtu: u16) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.stream_receive_window(VarInt::from_u32(16 << 20)).receive_window(VarInt::from_u32(24 << 20)).send_window(24 << 20);
    config.initial_mtu(mtu).min_mtu(mtu.min(1452)).max_concurrent_bidi_streams(VarInt::from_u32(256));
    config.enable_segmentation_offload(mtu <= 6500); // it always makes ten segments of one send, which holds 64 KiB
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(mtu);
    config.mtu_discovery_config(Some(discovery));
    Arc::new(config)
}

fn server_config(mtu: u16) -> Anything<ServerConfig> {
    let (chain, key) = identity()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Anyone(provider()))).with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![b"stoqperf".to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport(mtu));
    Ok(config)
}

fn client_config(mtu: u16) -> Anything<ClientConfig> {
    let (chain, key) = identity()?;
    let mut tls = rustls::ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider()))).with_client_auth_cert(chain, key)?;
    tls.alpn_protocols = vec![b"stoqperf".to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport(mtu));
    Ok(config)
}

fn endpoint_config(mtu: u16) -> Anything<quinn::EndpointConfig> {
    let mut config = quinn::EndpointConfig::default();
    config.max_udp_payload_size(mtu.max(1472))?;
    Ok(config)
}

/// Buffers as large as stoqperf's, where the system allows it.
fn socket(address: SocketAddr) -> Anything<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    let size: libc::c_int = 7 << 20;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    for option in [libc::SO_RCVBUF, libc::SO_SNDBUF, libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&size as *const libc::c_int).cast(), 4) };
    }
    Ok(socket)
}

fn cpu_seconds() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
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

async fn server(port: u16, mtu: u16) -> Anything<()> {
    let endpoint = Endpoint::new(endpoint_config(mtu)?, Some(server_config(mtu)?), socket(SocketAddr::new(std::env::var("PEER_HOST").unwrap_or("::1".to_string()).parse()?, port))?, Arc::new(quinn::TokioRuntime))?;
    println!("ready {}", endpoint.local_addr()?);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move { serve(incoming.await?).await });
        }
    });
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    println!("{{\"cpu_seconds\": {:.3}}}", cpu_seconds());
    std::process::exit(0);
}

async fn send_for(connection: Connection, until: Instant) -> Anything<u64> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let piece = vec![0u8; PIECE_BYTES];
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

async fn client(address: SocketAddr, connections: usize, streams: usize, seconds: f64, mtu: u16) -> Anything<()> {
    let mut endpoint = Endpoint::new(endpoint_config(mtu)?, None, socket("[::]:0".parse()?)?, Arc::new(quinn::TokioRuntime))?;
    endpoint.set_default_client_config(client_config(mtu)?);
    let mut open = Vec::new();
    for _ in 0..connections { open.push(endpoint.connect(address, "localhost")?.await?); }
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let until = start + Duration::from_secs_f64(seconds);
    let mut tasks = Vec::new();
    for connection in &open {
        for _ in 0..streams { tasks.push(tokio::spawn(send_for(connection.clone(), until))); }
    }
    let mut total = 0;
    for task in tasks { total += task.await??; }
    let elapsed = start.elapsed().as_secs_f64();
    println!("{{\"bytes\": {total}, \"seconds\": {elapsed:.3}, \"gbit_s\": {:.3}, \"cpu_seconds\": {:.3}}}", total as f64 * 8.0 / elapsed / 1e9, cpu_seconds() - cpu);
    Ok(())
}

async fn handshakes(address: SocketAddr, seconds: f64, at_once: usize) -> Anything<()> {
    let mut endpoint = Endpoint::new(endpoint_config(1452)?, None, socket("[::]:0".parse()?)?, Arc::new(quinn::TokioRuntime))?;
    endpoint.set_default_client_config(client_config(1452)?);
    let (start, cpu) = (Instant::now(), cpu_seconds());
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
    let elapsed = start.elapsed().as_secs_f64();
    println!("{{\"handshakes\": {count}, \"seconds\": {elapsed:.3}, \"per_second\": {:.1}, \"cpu_seconds\": {:.3}}}", count as f64 / elapsed, cpu_seconds() - cpu);
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Anything<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mtu = std::env::var("PEER_MTU").ok().map_or(Ok(1452), |text| text.parse())?;
    match words.as_slice() {
        ["server", port] => server(port.parse()?, mtu).await,
        ["client", address, connections, streams, seconds] => client(address.parse()?, connections.parse()?, streams.parse()?, seconds.parse()?, mtu).await,
        ["handshakes", address, seconds, at_once] => handshakes(address.parse()?, seconds.parse()?, at_once.parse()?).await,
        _ => {
            eprintln!("usage: peer server PORT | client ADDRESS CONNECTIONS STREAMS SECONDS | handshakes ADDRESS SECONDS AT_ONCE (PEER_MTU=1452)");
            std::process::exit(2);
        }
    }
}
