//! A TCP port for a server that is stopped and started again.

use std::net::{Ipv4Addr, TcpListener};

use uuid::Uuid;

use crate::Error;

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port that no process listens on now.
///
/// It lies below the range the kernel gives to outgoing connections: a port from that range could be taken by
/// any connection of the tests while its server is down.
pub(crate) fn free() -> Result<u16, Error> {
    let start = (Uuid::new_v4().as_u128() % u128::from(COUNT)) as u16;
    (0..COUNT)
        .map(|step| FIRST + (start + step) % COUNT)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .ok_or(Error::NoPort)
}
