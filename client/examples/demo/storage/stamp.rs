//! What is written at the beginning of every MiB: whose data it is, and under which token it came there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use super::MIB;

const LENGTH: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub volume: Uuid,
    pub mib: u64,
    pub token: i64,
}

impl Stamp {
    pub fn write(self, file: &File) -> io::Result<()> {
        let Stamp { volume, mib, token } = self;
        let mut block = format!("volume={volume} mib={mib} token={token}\n").into_bytes();
        block.resize(LENGTH, 0);
        file.write_all_at(&block, mib * MIB)
    }

    /// `None` if there is none.
    pub fn read(file: &File, mib: u64) -> io::Result<Option<Stamp>> {
        let mut block = [0; LENGTH];
        file.read_exact_at(&mut block, mib * MIB)?;
        Ok(Stamp::parse(&block))
    }

    fn parse(block: &[u8]) -> Option<Stamp> {
        let line = block.split(|byte| *byte == b'\n').next()?;
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let mut field = |name| words.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Stamp {
            volume: field("volume")?.parse().ok()?,
            mib: field("mib")?.parse().ok()?,
            token: field("token")?.parse().ok()?,
        })
    }
}
