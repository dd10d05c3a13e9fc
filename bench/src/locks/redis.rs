//! Redis, as its documentation says: a key that is set if it doesn't exist, with a value that only its holder knows.

use anyhow::{Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, IntoConnectionInfo, Script};
use uuid::Uuid;

use super::locker::POLL;
use crate::server::Server;

/// In milliseconds.
const LEASE: u64 = 3_600_000;
const COMPARE_AND_DELETE: &str = "
    if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

#[derive(Debug)]
pub struct Redis {
    pub server_pid: i32,
    connection: MultiplexedConnection,
    release: Script,
    value: String,
}

impl Redis {
    pub async fn connect(server: &Server) -> Result<Redis> {
        // As tokio-postgres and tonic do by default.
        let tcp = TcpSettings::default().set_nodelay(true);
        let url = format!("redis://{}", server.address()).into_connection_info()?;
        let client = redis::Client::open(url.set_tcp_settings(tcp))?;
        // The disk may be slow.
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        Ok(Redis {
            server_pid: server.pid(),
            connection: client.get_multiplexed_async_connection_with_config(&patient).await?,
            release: Script::new(COMPARE_AND_DELETE),
            value: String::new(),
        })
    }

    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        self.value = Uuid::new_v4().simple().to_string();
        loop {
            let set: Option<String> = redis::cmd("SET")
                .arg(key)
                .arg(&self.value)
                .arg("NX")
                .arg("PX")
                .arg(LEASE)
                .query_async(&mut self.connection)
                .await?;
            if set.is_some() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn release(&mut self, key: &str) -> Result<()> {
        let deleted: u64 = self.release.key(key).arg(&self.value).invoke_async(&mut self.connection).await?;
        ensure!(deleted == 1, "Redis: the lock was lost");
        Ok(())
    }
}
