//! The servers that are compared: private ones, on this machine, gone when the benchmark is.

mod etcd;
mod postgres;
mod redis;

pub use self::etcd::Etcd;
pub use self::postgres::Postgres;
pub use self::redis::Redis;
