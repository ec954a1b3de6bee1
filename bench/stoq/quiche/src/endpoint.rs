// quiche's connections on one UDP socket, in one thread.
use std::{collections::HashMap, net::SocketAddr, time::{Duration, Instant}};

use boring::{asn1::Asn1Time, bn::BigNum, hash::MessageDigest, pkey::{Id, PKey}, ssl::{SslContextBuilder, SslMethod, SslSignatureAlgorithm, SslVerifyMode}, x509::X509Builder};
use bytes::Bytes;
use quiche::{BufFactory, BufSplit, Config, ConnectionId, Header, RecvInfo, Type};

use crate::{peer::{self, Anything}, udp::Udp};

const ID_BYTES: usize = 16;
const DATAGRAMS_WAITING: usize = 1024;
const CALLS_AT_A_TIME: usize = 4; // of the system, each for up to 64 KiB: with many more the two sides work in turn, not at once
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Bytes that are held, not copied, until they are acknowledged.
#[derive(Clone, Debug)]
pub struct Held(pub Bytes);
#[derive(Clone, Debug, Default)]
pub struct Holding;

impl AsRef<[u8]> for Held { fn as_ref(&self) -> &[u8] { &self.0 } }
impl From<Vec<u8>> for Held { fn from(bytes: Vec<u8>) -> Self { Held(bytes.into()) } }
impl BufSplit for Held { fn split_at(&mut self, at: usize) -> Self { Held(self.0.split_off(at)) } }
impl BufFactory for Holding {
    type Buf = Held;
    type DgramBuf = Held;
    fn buf_from_slice(bytes: &[u8]) -> Held { Held(Bytes::copy_from_slice(bytes)) }
    fn dgram_buf_from_slice(bytes: &[u8]) -> Held { Held(Bytes::copy_from_slice(bytes)) }
}

pub type Connection = quiche::Connection<Holding>;

/// Certificates (Ed25519) on both sides and X25519MLKEM768; AES-128-GCM is what BoringSSL prefers. Any certificate
/// will do, because the comparison is of speed, but its key must sign.
fn tls() -> Anything<SslContextBuilder> {
    let key = PKey::generate(Id::ED25519)?;
    let mut cert = X509Builder::new()?;
    cert.set_version(2)?;
    cert.set_serial_number(&*BigNum::from_u32(1)?.to_asn1_integer()?)?;
    cert.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    cert.set_not_after(&*Asn1Time::days_from_now(1)?)?;
    cert.set_pubkey(&key)?;
    cert.sign(&key, unsafe { MessageDigest::from_ptr(std::ptr::null()) })?; // Ed25519 hashes by itself
    let mut tls = SslContextBuilder::new(SslMethod::tls())?;
    tls.set_certificate(&cert.build())?;
    tls.set_private_key(&key)?;
    tls.set_curves_list("X25519MLKEM768")?;
    tls.set_verify_algorithm_prefs(&[SslSignatureAlgorithm::ED25519])?;
    tls.set_custom_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_| Ok(()));
    Ok(tls)
}

fn config(mtu: u16) -> Anything<Config> {
    let mut config = Config::with_boring_ssl_ctx_builder(quiche::PROTOCOL_VERSION, tls()?)?;
    config.set_application_protos(&[peer::ALPN])?;
    config.set_max_idle_timeout(30_000);
    config.set_max_recv_udp_payload_size(65_527);
    config.set_max_send_udp_payload_size(mtu.into());
    config.set_initial_max_data(peer::CONNECTION_WINDOW_BYTES.into());
    config.set_initial_max_stream_data_bidi_local(peer::STREAM_WINDOW_BYTES.into());
    config.set_initial_max_stream_data_bidi_remote(peer::STREAM_WINDOW_BYTES.into());
    config.set_initial_max_streams_bidi(peer::STREAMS_MAX.into());
    config.enable_dgram(true, DATAGRAMS_WAITING, DATAGRAMS_WAITING);
    config.enable_pacing(false); // nothing here waits for the time that a packet is to leave
    config.grease(false);
    Ok(config)
}

pub struct Live<T> {
    pub conn: Connection,
    pub state: T,
}

pub struct Endpoint<T> {
    udp: Udp,
    config: Config,
    mtu: usize,
    pub live: HashMap<[u8; ID_BYTES], Live<T>>,
}

impl<T: Default> Endpoint<T> {
    pub fn open(address: SocketAddr, to: Option<SocketAddr>) -> Anything<Self> {
        let mtu = peer::mtu()?;
        Ok(Endpoint { udp: Udp::open(address, to)?, config: config(mtu)?, mtu: mtu.into(), live: HashMap::new() })
    }

    pub fn local(&self) -> SocketAddr { self.udp.local }

    pub fn connect(&mut self, to: SocketAddr, state: T) -> Anything<()> {
        let mut id = [0; ID_BYTES];
        boring::rand::rand_bytes(&mut id)?;
        let conn = quiche::connect_with_buffer_factory(Some("localhost"), &ConnectionId::from_ref(&id), self.udp.local, to, &mut self.config)?;
        self.live.insert(id, Live { conn, state });
        Ok(())
    }

    fn receive(&mut self) -> Anything<()> {
        let Endpoint { udp, config, live, .. } = self;
        let local = udp.local;
        for _ in 0..CALLS_AT_A_TIME {
            let some = udp.receive(|packet, from| {
                let Ok(header) = Header::from_slice(packet, ID_BYTES) else { return };
                let Ok(id) = <[u8; ID_BYTES]>::try_from(&*header.dcid) else { return };
                if header.ty == Type::Initial && !live.contains_key(&id) {
                    // The id that the client has chosen is kept, so that all its packets name the same one.
                    let Ok(conn) = quiche::accept_with_buf_factory(&ConnectionId::from_ref(&id), None, local, from, config) else { return };
                    live.insert(id, Live { conn, state: T::default() });
                }
                if let Some(one) = live.get_mut(&id) { let _ = one.conn.recv(packet, RecvInfo { from, to: local }); }
            })?;
            if !some { break; }
        }
        Ok(())
    }

    /// Lets `act` work on each connection, sends what there is to send, then waits for packets and takes them. Returns
    /// true when `input` has something to say. Connections that ended are gone afterwards.
    pub fn turn(&mut self, input: Option<i32>, mut act: impl FnMut(&mut Connection, &mut T) -> Anything<()>) -> Anything<bool> {
        let (now, mtu) = (Instant::now(), self.mtu);
        let mut until = now + LOOK_AGAIN;
        for Live { conn, state } in self.live.values_mut() {
            if conn.timeout_instant().is_some_and(|at| at <= now) { conn.on_timeout(); }
            act(conn, state)?;
            let all = self.udp.send_some(CALLS_AT_A_TIME, mtu, |out| match conn.send(out) {
                Ok((len, info)) => Ok(Some((len, info.to))),
                Err(quiche::Error::Done) => Ok(None),
                Err(error) => Err(error.into()),
            })?;
            until = conn.timeout_instant().filter(|_| all).map_or(if all { until } else { now }, |at| at.min(until));
        }
        let count = self.live.len();
        self.live.retain(|_, one| !one.conn.is_draining() && !one.conn.is_closed());
        if self.live.len() < count { until = now; } // the caller may have another one to begin
        let said = self.udp.wait(until.saturating_duration_since(Instant::now()), input);
        self.receive()?;
        Ok(said)
    }
}
