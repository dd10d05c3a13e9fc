//! The `PG*` variables of libpq.

use crate::error::Error;
use std::env::VarError;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The variables, and the options of a connection string that they stand for.
const VARIABLES: [(&str, &str); 11] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGAPPNAME", "application_name"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGOPTIONS", "options"),
    ("PGSSLMODE", "sslmode"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
];

/// A variable of the environment. One that is no text is not taken for one that is missing: it may be meant to lead to
/// another database.
pub(super) fn variable(name: &str) -> Result<Option<String>, Error> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Error::Configuration(format!("the variable {name} is not valid UTF-8"))),
    }
}

/// The configuration that the environment asks for. Without a host, libpq's default on Debian: the local socket.
pub(super) fn config(variable: impl Fn(&str) -> Result<Option<String>, Error>) -> Result<Config, Error> {
    let mut text = String::new();
    for (name, option) in VARIABLES {
        if let Some(value) = variable(name)?.filter(|value| !value.is_empty()) {
            text += &format!("{option}='{}' ", value.replace('\\', "\\\\").replace('\'', "\\'"));
        }
    }
    let unusable = |error| Error::Configuration(format!("PG* variables: {}", Error::from(error)));
    let mut config: Config = text.parse().map_err(unusable)?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("/var/run/postgresql");
    }
    Ok(config)
}

/// Fills in what a connection string lacks.
pub(super) fn complete(
    mut config: Config,
    variable: impl Fn(&str) -> Result<Option<String>, Error>,
) -> Result<Config, Error> {
    let no_host = config.get_hosts().is_empty() && config.get_hostaddrs().is_empty();
    let lacks_tls_mode = config.get_ssl_mode() == SslMode::Prefer;
    let lacks = |name: &str| match name {
        "PGHOST" | "PGHOSTADDR" => no_host,
        "PGPORT" => config.get_ports().is_empty(),
        // A demand for TLS is not to be ignored.
        "PGSSLMODE" => lacks_tls_mode,
        "PGUSER" => config.get_user().is_none(),
        "PGPASSWORD" => config.get_password().is_none(),
        "PGDATABASE" => config.get_dbname().is_none(),
        "PGAPPNAME" => config.get_application_name().is_none(),
        "PGCONNECT_TIMEOUT" => config.get_connect_timeout().is_none(),
        _ => false,
    };
    // The others are not even read: one that can't be used is no reason to fail.
    let other = self::config(|name| if lacks(name) { variable(name) } else { Ok(None) })?;
    if no_host {
        for host in other.get_hosts() {
            match host {
                Host::Tcp(name) => config.host(name),
                Host::Unix(path) => config.host_path(path),
            };
        }
        other.get_hostaddrs().iter().for_each(|address| _ = config.hostaddr(*address));
    }
    other.get_ports().iter().for_each(|port| _ = config.port(*port));
    if lacks_tls_mode {
        config.ssl_mode(other.get_ssl_mode());
    }
    other.get_user().map(|user| config.user(user));
    other.get_password().map(|password| config.password(password));
    other.get_dbname().map(|name| config.dbname(name));
    other.get_application_name().map(|name| config.application_name(name));
    other.get_connect_timeout().map(|time| config.connect_timeout(*time));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_connection_string_goes_first() {
        let variables = |name: &str| {
            let known = [("PGHOST", "db-1,db-2"), ("PGPORT", "6432"), ("PGUSER", "it's \\ me"), ("PGDATABASE", "")];
            Ok(known.iter().find(|known| known.0 == name).map(|known| known.1.to_owned()))
        };
        let config = complete("password=secret".parse().unwrap(), variables).unwrap();
        assert_eq!(config.get_hosts(), ["db-1", "db-2"].map(|host| Host::Tcp(host.to_owned())));
        assert_eq!((config.get_ports(), config.get_user()), (&[6432][..], Some("it's \\ me")));
        assert_eq!((config.get_password(), config.get_dbname()), (Some(&b"secret"[..]), None));
        let config = complete("host=other user=me".parse().unwrap(), variables).unwrap();
        assert_eq!((config.get_hosts(), config.get_user()), (&[Host::Tcp("other".to_owned())][..], Some("me")));
        assert_eq!(config.get_ports(), [6432]);
        let tls = |name: &str| Ok((name == "PGSSLMODE").then(|| "require".to_owned()));
        assert_eq!(complete("host=h".parse().unwrap(), tls).unwrap().get_ssl_mode(), SslMode::Require);
        let slow = |name: &str| Ok((name == "PGCONNECT_TIMEOUT").then(|| "20".to_owned()));
        for (url, seconds) in [("host=h", 20), ("host=h connect_timeout=5", 5)] {
            let config = complete(url.parse().unwrap(), slow).unwrap();
            assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(seconds)));
        }
        // What isn't used isn't read.
        let url = "host=other port=1 user=me password=p dbname=d sslmode=require connect_timeout=5";
        for broken in ["PGSSLMODE", "PGTARGETSESSIONATTRS", "PGPORT", "PGHOSTADDR", "PGCONNECT_TIMEOUT"] {
            let variable = |name: &str| Ok((name == broken).then(|| "verify-full".to_owned()));
            complete(url.parse().unwrap(), variable).unwrap();
            assert!(super::config(variable).unwrap_err().to_string().contains("invalid value for option"));
        }
    }
}
