// A UDP socket that sends and takes many packets with one call of the system (GSO, GRO).
use std::{io, net::SocketAddr, os::fd::AsRawFd, time::Duration};

use crate::peer::{self, Anything};

const BATCH_BYTES: usize = 65_000;
const SEGMENTS_MAX: usize = 64;

pub struct Udp {
    socket: std::net::UdpSocket,
    pub local: SocketAddr,
    connected: bool,
    out: Vec<u8>,
    taken: Vec<u8>,
}

#[repr(C, align(8))]
struct Control([u8; 64]);

fn sockaddr(address: SocketAddr) -> Anything<libc::sockaddr_in6> {
    let SocketAddr::V6(v6) = address else { return Err("only IPv6 addresses are known here".into()) };
    let mut made: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    made.sin6_family = libc::AF_INET6 as u16;
    made.sin6_port = v6.port().to_be();
    made.sin6_addr.s6_addr = v6.ip().octets();
    Ok(made)
}

impl Udp {
    pub fn open(address: SocketAddr, to: Option<SocketAddr>) -> Anything<Udp> {
        let socket = peer::socket(address)?;
        if let Some(to) = to { socket.connect(to)?; }
        let on: libc::c_int = 1;
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_GRO, (&on as *const libc::c_int).cast(), 4) };
        let local = socket.local_addr()?;
        Ok(Udp { socket, local, connected: to.is_some(), out: vec![0; BATCH_BYTES + 65536], taken: vec![0; 65536] })
    }

    /// True when a packet waits, or `input` has something to say.
    pub fn wait(&self, at_most: Duration, input: Option<i32>) -> bool {
        let event = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds = [event(self.socket.as_raw_fd()), event(input.unwrap_or(-1))];
        let span = libc::timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: at_most.subsec_nanos().into() };
        unsafe { libc::ppoll(fds.as_mut_ptr(), 2, &span, std::ptr::null()) };
        fds[1].revents != 0
    }

    /// Calls `each` for every packet of one call of the system. False when there was none.
    pub fn receive(&mut self, mut each: impl FnMut(&mut [u8], SocketAddr)) -> Anything<bool> {
        let mut from: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
        let mut control = Control([0; 64]);
        let mut part = libc::iovec { iov_base: self.taken.as_mut_ptr().cast(), iov_len: self.taken.len() };
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_name, message.msg_namelen) = ((&mut from as *mut libc::sockaddr_in6).cast(), size_of_val(&from) as u32);
        (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
        (message.msg_control, message.msg_controllen) = (control.0.as_mut_ptr().cast(), control.0.len());
        let len = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) };
        if len < 0 {
            return match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                error => Err(error.into()),
            };
        }
        let mut size = len as usize;
        let head = unsafe { libc::CMSG_FIRSTHDR(&message) };
        if !head.is_null() && unsafe { ((*head).cmsg_level, (*head).cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO) } {
            size = unsafe { libc::CMSG_DATA(head).cast::<libc::c_int>().read_unaligned() } as usize;
        }
        let from = SocketAddr::new(std::net::Ipv6Addr::from(from.sin6_addr.s6_addr).into(), u16::from_be(from.sin6_port));
        for packet in self.taken[..len as usize].chunks_mut(size.max(1)) { each(packet, from); }
        Ok(true)
    }

    fn send(&self, from: usize, to: usize, segment: usize, address: SocketAddr) -> Anything<()> {
        let mut name = sockaddr(address)?;
        let mut control = Control([0; 64]);
        let mut part = libc::iovec { iov_base: self.out[from..to].as_ptr().cast_mut().cast(), iov_len: to - from };
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        if !self.connected { (message.msg_name, message.msg_namelen) = ((&mut name as *mut libc::sockaddr_in6).cast(), size_of_val(&name) as u32); }
        (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
        if to - from > segment {
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = unsafe { libc::CMSG_SPACE(2) } as usize;
            unsafe {
                let head = libc::CMSG_FIRSTHDR(&message);
                ((*head).cmsg_level, (*head).cmsg_type) = (libc::SOL_UDP, libc::UDP_SEGMENT);
                (*head).cmsg_len = libc::CMSG_LEN(2) as usize;
                libc::CMSG_DATA(head).cast::<u16>().write_unaligned(segment as u16);
            }
        }
        if unsafe { libc::sendmsg(self.socket.as_raw_fd(), &message, 0) } < 0 { return Err(io::Error::last_os_error().into()); }
        Ok(())
    }

    /// Sends what `next` writes; packets of one size go together. Returns true when `next` had nothing more, false
    /// after `calls_max` calls of the system.
    pub fn send_some(&mut self, calls_max: usize, packet_max: usize, mut next: impl FnMut(&mut [u8]) -> Anything<Option<(usize, SocketAddr)>>) -> Anything<bool> {
        let (mut start, mut end, mut segment, mut count, mut address) = (0, 0, 0, 0, self.local);
        for _ in 0..calls_max {
            loop {
                let made = next(&mut self.out[end..end + packet_max])?;
                let Some((len, to)) = made else {
                    if count > 0 { self.send(start, end, segment, address)?; }
                    return Ok(true);
                };
                if count > 0 && (len > segment || to != address) {
                    self.send(start, end, segment, address)?;
                    (start, count) = (end, 0);
                }
                if count == 0 { (segment, address) = (len, to); }
                (end, count) = (end + len, count + 1);
                if len < segment || count == SEGMENTS_MAX || end + packet_max > BATCH_BYTES { break; }
            }
            self.send(start, end, segment, address)?;
            (start, end, count) = (0, 0, 0);
        }
        Ok(false)
    }
}
