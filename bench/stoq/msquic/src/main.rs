// A peer for bench/stoq: msquic with the same command line and protocol as bench/stoq/quicgo. Its TLS (OpenSSL 3.1) has no
// ML-KEM: keys are agreed on by X25519. Its packets are never larger than 1500 bytes with their headers.
#[path = "../../common/peer.rs"]
mod peer;

use std::{ffi::c_void, io::Read, net::SocketAddr, ptr::null, sync::{atomic::{AtomicBool, AtomicU64, Ordering}, mpsc::{channel, Receiver, Sender}, Arc}, time::{Duration, Instant}};

use msquic::{ffi, Addr, AllowedCipherSuiteFlags, Api, BufferRef, CertificateFile, Configuration, Connection, ConnectionEvent, ConnectionRef, ConnectionShutdownFlags, Credential,
             CredentialConfig, CredentialFlags, DatagramSendState, ExecutionProfile, Listener, ListenerEvent, Registration, RegistrationConfig, SendFlags, Status, Stream,
             StreamEvent, StreamOpenFlags, StreamRef, StreamShutdownFlags, StreamStartFlags};
use peer::{Anything, Task};

const PIECES_WAITING: usize = 16;
const DATAGRAMS_WAITING: usize = 1024;
const MTU: u16 = 1500;
const GIVE_UP: Duration = Duration::from_secs(20);

static DATAGRAMS: AtomicU64 = AtomicU64::new(0);

/// At once: msquic ends a program by abort() while something of it is open.
fn leave() -> ! { unsafe { libc::_exit(0) } }

/// What lives as long as the program, as msquic wants it of what is being sent.
fn forever(bytes: Vec<u8>) -> &'static [BufferRef] {
    let bytes: &'static [u8] = bytes.leak();
    Box::leak(Box::new([BufferRef::from(bytes)]))
}

fn registration(profile: ExecutionProfile) -> Anything<Registration> {
    Ok(Registration::new(&RegistrationConfig::new().set_execution_profile(profile))?)
}

/// Certificates on both sides (of PEER_KEY and PEER_CERT: it takes them from files); any will do, because the comparison is of speed, but its key must sign.
fn configuration(registration: &Registration, server: bool) -> Anything<Configuration> {
    let config = Configuration::open(registration, &[BufferRef::from(peer::ALPN)], None)?;
    let mut settings: ffi::QUIC_SETTINGS = unsafe { std::mem::zeroed() };
    macro_rules! set { ($($name:ident, $setter:ident = $value:expr;)*) => { $( settings.$name = $value; unsafe { settings.__bindgen_anon_1.IsSet.$setter(1) }; )* } }
    set! {
        IdleTimeoutMs, set_IdleTimeoutMs = 30_000;
        StreamRecvWindowDefault, set_StreamRecvWindowDefault = peer::STREAM_WINDOW_BYTES;
        ConnFlowControlWindow, set_ConnFlowControlWindow = peer::CONNECTION_WINDOW_BYTES;
        PeerBidiStreamCount, set_PeerBidiStreamCount = peer::STREAMS_MAX as u16;
        MinimumMtu, set_MinimumMtu = MTU;
        MaximumMtu, set_MaximumMtu = MTU;
    }
    settings.set_SendBufferingEnabled(0); // what is sent is held, not copied
    settings.set_DatagramReceiveEnabled(1);
    unsafe {
        settings.__bindgen_anon_1.IsSet.set_SendBufferingEnabled(1);
        settings.__bindgen_anon_1.IsSet.set_DatagramReceiveEnabled(1);
        Api::set_param(config.as_raw(), ffi::QUIC_PARAM_CONFIGURATION_SETTINGS, size_of_val(&settings) as u32, (&settings as *const ffi::QUIC_SETTINGS).cast())?;
    }
    let role = if server { CredentialFlags::REQUIRE_CLIENT_AUTHENTICATION } else { CredentialFlags::CLIENT };
    let credential = CredentialConfig::new().set_credential_flags(role | CredentialFlags::NO_CERTIFICATE_VALIDATION)
        .set_credential(Credential::CertificateFile(CertificateFile::new(std::env::var("PEER_KEY")?, std::env::var("PEER_CERT")?)))
        .set_allowed_cipher_suites(AllowedCipherSuiteFlags::AES_128_GCM_SHA256);
    config.load_credential(&credential)?;
    Ok(config)
}

/// A stream at the server: counts, and answers with the count.
fn serve(stream: &StreamRef) {
    let mut total = 0u64;
    stream.set_callback_handler(move |stream: StreamRef, event: StreamEvent| {
        match event {
            StreamEvent::Receive { total_buffer_length, .. } => total += *total_buffer_length,
            StreamEvent::PeerSendShutdown => {
                let held = Box::into_raw(Box::new((total.to_be_bytes(), [const { BufferRef(ffi::QUIC_BUFFER { Length: 8, Buffer: std::ptr::null_mut() }) }])));
                unsafe {
                    (*held).1[0].0.Buffer = (*held).0.as_mut_ptr();
                    stream.send(&(*held).1, SendFlags::FIN, held as *const c_void)?;
                }
            }
            StreamEvent::SendComplete { client_context, .. } => drop(unsafe { Box::from_raw(client_context as *mut ([u8; 8], [BufferRef; 1])) }),
            StreamEvent::ShutdownComplete { .. } => drop(unsafe { Stream::from_raw(stream.as_raw()) }),
            _ => {}
        }
        Ok(())
    });
}

fn server(port: u16, profile: ExecutionProfile) -> Anything<()> {
    let registration = registration(profile)?;
    let config = Arc::new(configuration(&registration, true)?);
    let listener = Listener::open(&registration, move |_, event| {
        if let ListenerEvent::NewConnection { connection, .. } = event {
            connection.set_callback_handler(|connection: ConnectionRef, event: ConnectionEvent| {
                match event {
                    ConnectionEvent::PeerStreamStarted { stream, .. } => serve(&stream),
                    ConnectionEvent::DatagramReceived { .. } => { DATAGRAMS.fetch_add(1, Ordering::Relaxed); }
                    ConnectionEvent::ShutdownComplete { .. } => drop(unsafe { Connection::from_raw(connection.as_raw()) }),
                    _ => {}
                }
                Ok(())
            });
            connection.set_configuration(&config)?;
        }
        Ok(())
    })?;
    listener.start(&[BufferRef::from(peer::ALPN)], Some(&Addr::from(SocketAddr::new(peer::host()?, port))))?;
    println!("ready {}", listener.get_local_addr()?.as_socket().ok_or("no address")?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    peer::print_server(DATAGRAMS.load(Ordering::Relaxed));
    leave();
}

enum Said {
    Connected,
    Answer(u64),
    Closed,
}

struct Link {
    conn: Connection,
    said: Receiver<Said>,
    say: Sender<Said>,
}

impl Link {
    fn open(registration: &Registration, config: &Configuration, address: SocketAddr, mut on_datagram_sent: impl FnMut(&ConnectionRef) + 'static) -> Anything<Link> {
        let (say, said) = channel();
        let tell = say.clone();
        let conn = Connection::open(registration, move |conn: ConnectionRef, event: ConnectionEvent| {
            match event {
                ConnectionEvent::Connected { .. } => drop(tell.send(Said::Connected)),
                ConnectionEvent::DatagramSendStateChanged { state: DatagramSendState::Sent, .. } => on_datagram_sent(&conn),
                ConnectionEvent::ShutdownComplete { .. } => drop(tell.send(Said::Closed)),
                _ => {}
            }
            Ok(())
        })?;
        conn.start(config, &address.ip().to_string(), address.port())?;
        let link = Link { conn, said, say };
        link.wait(|said| matches!(said, Said::Connected).then_some(()))?;
        Ok(link)
    }

    fn wait<T>(&self, wanted: impl Fn(Said) -> Option<T>) -> Anything<T> {
        loop {
            let said = self.said.recv_timeout(GIVE_UP)?;
            if matches!(said, Said::Closed) { return Err("a connection was closed".into()); }
            if let Some(found) = wanted(said) { return Ok(found); }
        }
    }

    fn answer(&self) -> Anything<u64> {
        self.wait(|said| if let Said::Answer(count) = said { Some(count) } else { None })
    }

    /// A stream whose answer is said. Calls `on_sent` whenever something that was given to it can be given again.
    fn stream(&self, mut on_sent: impl FnMut(&StreamRef) -> Result<(), Status> + 'static) -> Anything<Stream> {
        let (say, mut answer) = (self.say.clone(), Vec::new());
        let stream = Stream::open(&self.conn, StreamOpenFlags::NONE, move |stream: StreamRef, event: StreamEvent| {
            match event {
                StreamEvent::SendComplete { cancelled: false, .. } => on_sent(&stream)?,
                StreamEvent::Receive { buffers, .. } => buffers.iter().for_each(|part| answer.extend_from_slice(part.as_bytes())),
                StreamEvent::PeerSendShutdown => {
                    if let Ok(count) = answer.as_slice().try_into() { let _ = say.send(Said::Answer(u64::from_be_bytes(count))); }
                }
                StreamEvent::ShutdownComplete { .. } => drop(unsafe { Stream::from_raw(stream.as_raw()) }),
                _ => {}
            }
            Ok(())
        })?;
        stream.start(StreamStartFlags::NONE)?;
        Ok(stream)
    }

    /// A byte that the server answers: only then has it, too, seen all of the handshake.
    fn ask_once(&self, question: &'static [BufferRef]) -> Anything<()> {
        let stream = self.stream(|_| Ok(()))?;
        unsafe { stream.send(question, SendFlags::FIN, null())?; }
        unsafe { stream.into_raw() }; // it is closed when it ends
        self.answer()?;
        Ok(())
    }
}

fn streams(address: SocketAddr, connections: usize, each: usize, seconds: f64) -> Anything<()> {
    let registration = registration(ExecutionProfile::MaxThroughput)?;
    let config = configuration(&registration, false)?;
    let mut links = Vec::new();
    for _ in 0..connections { links.push(Link::open(&registration, &config, address, |_| {})?); }
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let until = start + Duration::from_secs_f64(seconds);
    let piece = forever(vec![0; peer::PIECE_BYTES]);
    for link in &links {
        for _ in 0..each {
            let mut finished = false;
            let stream = link.stream(move |stream| {
                if Instant::now() < until { return unsafe { stream.send(piece, SendFlags::NONE, null()) }; }
                if finished { return Ok(()); }
                finished = true;
                stream.shutdown(StreamShutdownFlags::GRACEFUL, 0)
            })?;
            for _ in 0..PIECES_WAITING { unsafe { stream.send(piece, SendFlags::NONE, null())?; } }
            unsafe { stream.into_raw() };
        }
    }
    let mut total = 0;
    for link in &links { for _ in 0..each { total += link.answer()?; } }
    peer::print_streams(total, start.elapsed().as_secs_f64(), peer::cpu_seconds() - cpu);
    leave();
}

fn handshakes(address: SocketAddr, seconds: f64, at_once: usize) -> Anything<()> {
    let registration = Arc::new(registration(ExecutionProfile::LowLatency)?);
    let config = Arc::new(configuration(&registration, false)?);
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    let mut threads = Vec::new();
    for _ in 0..at_once {
        let (registration, config) = (registration.clone(), config.clone());
        threads.push(std::thread::spawn(move || {
            let (question, mut count) = (forever(b"?".to_vec()), 0u64);
            while start.elapsed().as_secs_f64() < seconds {
                let link = Link::open(&registration, &config, address, |_| {})?;
                link.ask_once(question)?;
                link.conn.shutdown(ConnectionShutdownFlags::NONE, 0);
                count += 1;
            }
            Anything::Ok(count)
        }));
    }
    let mut count = 0;
    for thread in threads { count += thread.join().map_err(|_| "a thread failed")??; }
    peer::print_handshakes(count, start.elapsed().as_secs_f64(), peer::cpu_seconds() - cpu);
    leave();
}

fn datagrams(address: SocketAddr, bytes_each: usize, seconds: f64) -> Anything<()> {
    let registration = registration(ExecutionProfile::MaxThroughput)?;
    let config = configuration(&registration, false)?;
    let (piece, sent) = (forever(vec![0; bytes_each]), Arc::new(AtomicU64::new(0)));
    let (stop, counter) = (Arc::new(AtomicBool::new(false)), sent.clone());
    let stopped = stop.clone();
    // Each that is sent lets the next one go.
    let link = Link::open(&registration, &config, address, move |conn| {
        if !stopped.load(Ordering::Relaxed) && unsafe { conn.datagram_send(piece, SendFlags::NONE, null()) }.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    let (start, cpu) = (Instant::now(), peer::cpu_seconds());
    for _ in 0..DATAGRAMS_WAITING {
        unsafe { link.conn.datagram_send(piece, SendFlags::NONE, null())?; }
        sent.fetch_add(1, Ordering::Relaxed);
    }
    std::thread::sleep(Duration::from_secs_f64(seconds));
    stop.store(true, Ordering::Relaxed);
    let elapsed = start.elapsed().as_secs_f64();
    link.ask_once(forever(b"?".to_vec()))?;
    peer::print_datagrams(sent.load(Ordering::Relaxed), bytes_each, elapsed, peer::cpu_seconds() - cpu);
    leave();
}

fn main() -> Anything<()> {
    // The server is not told what it will be asked for: the choice that is good for handshakes serves streams as well here.
    match peer::task()? {
        Task::Server(port) => server(port, ExecutionProfile::LowLatency),
        Task::Client { address, connections, streams: each, seconds } => streams(address, connections, each, seconds),
        Task::Handshakes { address, seconds, at_once } => handshakes(address, seconds, at_once),
        Task::Datagrams { address, bytes_each, seconds } => datagrams(address, bytes_each, seconds),
    }
}
