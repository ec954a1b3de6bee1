// A peer for bench/stoq: quiche with the same command line and protocol as bench/stoq/quicgo.
#[path = "../../common/peer.rs"]
mod peer;
mod endpoint;
mod udp;

use std::{collections::HashMap, net::SocketAddr, time::{Duration, Instant}};

use bytes::Bytes;
use endpoint::{Connection, Endpoint, Held};
use peer::{Anything, Task};
use quiche::Error::Done;

/// One stream of a client: how far it has come.
#[derive(Default)]
struct Sending {
    finished: bool,
    answer: Vec<u8>,
}

/// Reads what came on `stream` into `answer`; the number in it when it is whole.
fn answer(conn: &mut Connection, stream: u64, answer: &mut Vec<u8>) -> Anything<Option<u64>> {
    let mut piece = [0; 16];
    while conn.stream_readable(stream) {
        let (len, whole) = conn.stream_recv(stream, &mut piece)?;
        answer.extend_from_slice(&piece[..len]);
        if whole { return Ok(Some(u64::from_be_bytes(answer.as_slice().try_into()?))); }
    }
    Ok(None)
}

/// A server's streams: the bytes that came, and the answers that are still to be sent.
#[derive(Default)]
struct Served {
    totals: HashMap<u64, u64>,
    answers: Vec<(u64, u64)>,
}

fn server(port: u16) -> Anything<()> {
    let mut endpoint: Endpoint<Served> = Endpoint::open(SocketAddr::new(peer::host()?, port), None)?;
    let (mut piece, mut datagrams) = (vec![0; peer::PIECE_BYTES], 0);
    println!("ready {}", endpoint.local());
    let input = std::os::fd::AsRawFd::as_raw_fd(&std::io::stdin());
    loop {
        let ended = endpoint.turn(Some(input), |conn, state| {
            for stream in conn.readable() {
                loop {
                    match conn.stream_recv(stream, &mut piece) {
                        Ok((len, whole)) => {
                            *state.totals.entry(stream).or_default() += len as u64;
                            if !whole { continue; }
                            state.answers.push((stream, state.totals.remove(&stream).unwrap_or_default()));
                            break;
                        }
                        Err(_) => break,
                    }
                }
            }
            state.answers.retain(|(stream, total)| conn.stream_send(*stream, &total.to_be_bytes(), true) == Err(Done));
            while conn.dgram_recv_buf().is_ok() { datagrams += 1; }
            Ok(())
        })?;
        if ended { break; }
    }
    peer::print_server(datagrams);
    Ok(())
}

fn client_endpoint<T: Default>(address: SocketAddr) -> Anything<Endpoint<T>> {
    Endpoint::open("[::]:0".parse()?, Some(address))
}

fn streams(address: SocketAddr, connections: usize, each: usize, seconds: f64) -> Anything<()> {
    let mut endpoint: Endpoint<Vec<Sending>> = client_endpoint(address)?;
    for _ in 0..connections { endpoint.connect(address, (0..each).map(|_| Sending::default()).collect())?; }
    while !endpoint.live.values().all(|one| one.conn.is_established()) {
        endpoint.turn(None, |_, _| Ok(()))?;
        if endpoint.live.len() < connections { return Err("a connection failed".into()); }
    }
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let until = start + Duration::from_secs_f64(seconds);
    let piece = Bytes::from(vec![0; peer::PIECE_BYTES]);
    let (mut total, mut missing) = (0, connections * each);
    while missing > 0 {
        endpoint.turn(None, |conn, state| {
            let time_is_up = Instant::now() >= until;
            for (index, one) in state.iter_mut().enumerate() {
                let stream = 4 * index as u64;
                while !one.finished {
                    if time_is_up {
                        one.finished = conn.stream_send(stream, &[], true) != Err(Done);
                        break;
                    }
                    match conn.stream_send_zc(stream, Held(piece.clone()), false) {
                        Ok((_, None)) => {}
                        Ok(_) | Err(Done) => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                if let Some(came) = answer(conn, stream, &mut one.answer)? { (total, missing) = (total + came, missing - 1); }
            }
            Ok(())
        })?;
        if endpoint.live.len() < connections { return Err("a connection was lost".into()); }
    }
    peer::print_streams(total, start.elapsed().as_secs_f64(), peer::cpu_seconds() - cpu);
    Ok(())
}

fn handshakes(address: SocketAddr, seconds: f64, at_once: usize) -> Anything<()> {
    let mut endpoint: Endpoint<Sending> = client_endpoint(address)?;
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let mut count = 0;
    loop {
        let time_is_up = start.elapsed().as_secs_f64() >= seconds;
        while !time_is_up && endpoint.live.len() < at_once { endpoint.connect(address, Sending::default())?; }
        if endpoint.live.is_empty() { break; }
        endpoint.turn(None, |conn, state| {
            // A byte that the server answers: only then has it, too, seen all of the handshake.
            if conn.is_established() && !state.finished { state.finished = conn.stream_send(0, b"?", true) == Ok(1); }
            if state.finished && answer(conn, 0, &mut state.answer)?.is_some() {
                count += 1;
                conn.close(true, 0, b"")?;
            }
            if conn.is_timed_out() || conn.peer_error().is_some() { return Err("a connection failed".into()); }
            Ok(())
        })?;
    }
    peer::print_handshakes(count, start.elapsed().as_secs_f64(), peer::cpu_seconds() - cpu);
    Ok(())
}

fn datagrams(address: SocketAddr, bytes_each: usize, seconds: f64) -> Anything<()> {
    let mut endpoint: Endpoint<Sending> = client_endpoint(address)?;
    endpoint.connect(address, Sending::default())?;
    while !endpoint.live.values().all(|one| one.conn.is_established()) { endpoint.turn(None, |_, _| Ok(()))?; }
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let piece = Bytes::from(vec![0; bytes_each]);
    let (mut sent, mut elapsed, mut answered) = (0u64, 0.0, false);
    while !answered {
        endpoint.turn(None, |conn, state| {
            if start.elapsed().as_secs_f64() < seconds {
                while !conn.is_dgram_send_queue_full() {
                    conn.dgram_send_buf(Held(piece.clone()))?;
                    sent += 1;
                }
            } else if !state.finished {
                elapsed = start.elapsed().as_secs_f64();
                state.finished = conn.stream_send(0, b"?", true) == Ok(1);
            }
            answered = state.finished && answer(conn, 0, &mut state.answer)?.is_some();
            Ok(())
        })?;
        if endpoint.live.is_empty() { return Err("the connection was lost".into()); }
    }
    peer::print_datagrams(sent, bytes_each, elapsed, peer::cpu_seconds() - cpu);
    Ok(())
}

fn main() -> Anything<()> {
    match peer::task()? {
        Task::Server(port) => server(port),
        Task::Client { address, connections, streams: each, seconds } => streams(address, connections, each, seconds),
        Task::Handshakes { address, seconds, at_once } => handshakes(address, seconds, at_once),
        Task::Datagrams { address, bytes_each, seconds } => datagrams(address, bytes_each, seconds),
    }
}
