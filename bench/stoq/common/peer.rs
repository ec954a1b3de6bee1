// What the peers in Rust share: the protocol's constants, a UDP socket, processor time, how results are printed.
#![allow(dead_code)]
use std::net::{IpAddr, SocketAddr};

pub type Anything<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
pub const PIECE_BYTES: usize = 1 << 18;
pub const STREAMS_MAX: u32 = 256;
pub const STREAM_WINDOW_BYTES: u32 = 16 << 20;
pub const CONNECTION_WINDOW_BYTES: u32 = 24 << 20;
pub const ALPN: &[u8] = b"stoqperf";
const SOCKET_BUFFER_BYTES: libc::c_int = 7 << 20;

/// Buffers as large as stoqperf's, where the system allows it.
pub fn socket(address: SocketAddr) -> Anything<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    for option in [libc::SO_RCVBUF, libc::SO_SNDBUF, libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&SOCKET_BUFFER_BYTES as *const libc::c_int).cast(), 4) };
    }
    Ok(socket)
}

pub fn cpu_seconds() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Bytes of UDP payload in the largest packet.
pub fn mtu() -> Anything<u16> {
    Ok(std::env::var("PEER_MTU").ok().map_or(Ok(1452), |text| text.parse())?)
}

pub fn host() -> Anything<IpAddr> {
    Ok(std::env::var("PEER_HOST").unwrap_or("::1".to_string()).parse()?)
}

pub fn print_streams(bytes: u64, seconds: f64, cpu: f64) {
    println!("{{\"bytes\": {bytes}, \"seconds\": {seconds:.3}, \"gbit_s\": {:.3}, \"cpu_seconds\": {cpu:.3}}}", bytes as f64 * 8.0 / seconds / 1e9);
}

pub fn print_handshakes(count: u64, seconds: f64, cpu: f64) {
    println!("{{\"handshakes\": {count}, \"seconds\": {seconds:.3}, \"per_second\": {:.1}, \"cpu_seconds\": {cpu:.3}}}", count as f64 / seconds);
}

/// How many arrived is the server's to say, when it ends.
pub fn print_datagrams(sent: u64, bytes_each: usize, seconds: f64, cpu: f64) {
    println!("{{\"sent\": {sent}, \"datagram_bytes\": {bytes_each}, \"seconds\": {seconds:.3}, \"cpu_seconds\": {cpu:.3}}}");
}

pub fn print_server(datagrams: u64) {
    println!("{{\"cpu_seconds\": {:.3}, \"datagrams\": {datagrams}}}", cpu_seconds());
}

pub enum Task {
    Server(u16),
    Client { address: SocketAddr, connections: usize, streams: usize, seconds: f64 },
    Handshakes { address: SocketAddr, seconds: f64, at_once: usize },
    Datagrams { address: SocketAddr, bytes_each: usize, seconds: f64 },
}

/// Of the command line; ends the program when it is none.
pub fn task() -> Anything<Task> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words.as_slice() {
        ["server", port] => Task::Server(port.parse()?),
        ["client", address, connections, streams, seconds] =>
            Task::Client { address: address.parse()?, connections: connections.parse()?, streams: streams.parse()?, seconds: seconds.parse()? },
        ["handshakes", address, seconds, at_once] =>
            Task::Handshakes { address: address.parse()?, seconds: seconds.parse()?, at_once: at_once.parse()? },
        ["datagrams", address, bytes_each, seconds] =>
            Task::Datagrams { address: address.parse()?, bytes_each: bytes_each.parse()?, seconds: seconds.parse()? },
        _ => {
            eprintln!("usage: peer server PORT | client ADDRESS CONNECTIONS STREAMS SECONDS | handshakes ADDRESS SECONDS AT_ONCE | datagrams ADDRESS BYTES SECONDS (PEER_HOST=::1 PEER_MTU=1452)");
            std::process::exit(2);
        }
    })
}
