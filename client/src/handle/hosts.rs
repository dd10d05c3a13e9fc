//! Connecting to the first server of a list that answers and is what is asked for.
//!
//! `tokio-postgres` limits the time to open a socket, but not the time of what follows, and has one limit for all
//! hosts. So each address is tried by itself here.

use super::wire::{Connected, Server, Wire};
use crate::error::Error;
use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};
use uuid::Uuid;

/// One server of the list.
#[derive(Debug)]
struct Target {
    host: Option<Host>,
    address: Option<IpAddr>,
    port: u16,
}

type Failure = Box<dyn StdError + Send + Sync>;

impl Server {
    /// Connects to the first server that answers, all within the limit. Each has its share of it, so that the last one
    /// is tried as well.
    pub(super) async fn connect(self: &Arc<Self>, limit: Duration) -> Result<Wire, Error> {
        let targets = targets(&self.config);
        let share = limit / u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
        let mut refused = Error::Configuration("the connection string names no host".to_owned());
        for target in targets {
            match target.connect(self, share).await {
                Ok(connected) => return Ok(Wire::new(connected, self)),
                Err(source) => refused = Error::Connect { host: target.label(), source },
            }
        }
        Err(refused)
    }
}

async fn within<T, E: Into<Failure>>(limit: Duration, step: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"));
    timeout(limit, step).await.map_err(late)?.map_err(Into::into)
}

fn targets(config: &Config) -> Vec<Target> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let target = |index| Target {
        host: hosts.get(index).cloned(),
        address: addresses.get(index).copied(),
        port: ports.get(index).or(ports.first()).copied().unwrap_or(5432),
    };
    let mut targets: Vec<Target> = (0..hosts.len().max(addresses.len())).map(target).collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        targets.sort_by_cached_key(|_| Uuid::new_v4());
    }
    targets
}

impl Target {
    /// All addresses together have no more than the share.
    async fn connect(&self, server: &Server, share: Duration) -> Result<Connected, Failure> {
        let mut refused = Failure::from("the host has no address");
        let limit = server.connect_timeout.min(share);
        let addresses = within(limit, self.resolve()).await?;
        let limit = limit.min(share / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX));
        for address in addresses {
            match within(limit, server.tls.connect(self.alone(&server.config, address))).await {
                Ok(connected) => return Ok(connected),
                Err(error) => refused = error,
            }
            tracing::debug!(host = self.label(), error = refused, "trying the next address");
        }
        Err(refused)
    }

    fn label(&self) -> String {
        let host = match &self.host {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => self.address.map(|address| address.to_string()).unwrap_or_default(),
        };
        format!("{host}:{}", self.port)
    }

    /// The addresses to try; `None` for a socket in the file system.
    async fn resolve(&self) -> io::Result<Vec<Option<IpAddr>>> {
        match (&self.host, self.address) {
            (_, Some(address)) => Ok(vec![Some(address)]),
            (Some(Host::Tcp(name)), _) => {
                Ok(lookup_host((&**name, self.port)).await?.map(|it| Some(it.ip())).collect())
            }
            _ => Ok(vec![None]),
        }
    }

    /// The configuration for this server alone.
    fn alone(&self, all: &Config, address: Option<IpAddr>) -> Config {
        let mut one = Config::new();
        one.port(self.port)
            .ssl_mode(all.get_ssl_mode())
            .ssl_negotiation(all.get_ssl_negotiation())
            .target_session_attrs(all.get_target_session_attrs())
            .channel_binding(all.get_channel_binding())
            .keepalives(all.get_keepalives())
            .keepalives_idle(all.get_keepalives_idle());
        match &self.host {
            Some(Host::Tcp(name)) => _ = one.host(name),
            Some(Host::Unix(path)) => _ = one.host_path(path),
            None => {}
        }
        address.map(|address| one.hostaddr(address));
        all.get_user().map(|user| one.user(user));
        all.get_password().map(|password| one.password(password));
        all.get_dbname().map(|name| one.dbname(name));
        all.get_options().map(|options| one.options(options));
        all.get_application_name().map(|name| one.application_name(name));
        all.get_tcp_user_timeout().map(|time| one.tcp_user_timeout(*time));
        all.get_keepalives_interval().map(|time| one.keepalives_interval(time));
        all.get_keepalives_retries().map(|times| one.keepalives_retries(times));
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_keeps_all_settings() {
        let url = "host=a,/b hostaddr=10.0.0.1,10.0.0.2 port=1,2 user=u password=p dbname=d options=o \
                   application_name=n sslmode=require target_session_attrs=read-write channel_binding=require \
                   keepalives_idle=7 keepalives_interval=8 keepalives_retries=9 tcp_user_timeout=10 \
                   sslnegotiation=direct";
        let all: Config = url.parse().unwrap();
        let [first, second] = targets(&all).try_into().unwrap();
        assert_eq!((first.label(), second.label()), ("a:1".to_owned(), "/b:2".to_owned()));
        let one = first.alone(&all, first.address);
        let same: Config = url.replace("a,/b", "a").replace(",10.0.0.2", "").replace("1,2", "1").parse().unwrap();
        assert_eq!(format!("{one:?}"), format!("{same:?}"));
    }
}
