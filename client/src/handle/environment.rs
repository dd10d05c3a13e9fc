//! The `PG*` variables of libpq.

use tokio_postgres::Config;

use crate::error::Error;

/// The variables, and the options of a connection string that they stand for.
const VARIABLES: [(&str, &str); 10] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGAPPNAME", "application_name"),
    ("PGOPTIONS", "options"),
    ("PGSSLMODE", "sslmode"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
];

/// The configuration that the environment asks for. Without a host, libpq's default on Debian: the local socket.
pub(super) fn config(variable: impl Fn(&str) -> Option<String>) -> Result<Config, Error> {
    let mut text = String::new();
    for (name, option) in VARIABLES {
        if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            text += &format!("{option}='{value}' ");
        }
    }
    let mut config: Config =
        text.parse().map_err(|e| Error::Configuration(format!("PG* variables: {}", Error::from(e))))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("/var/run/postgresql");
    }
    Ok(config)
}

/// Fills in what a connection string lacks.
pub(super) fn complete(config: &mut Config, variable: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    let no_host = config.get_hosts().is_empty() && config.get_hostaddrs().is_empty();
    let lacks = |name: &str| match name {
        "PGHOST" | "PGHOSTADDR" => no_host,
        "PGPORT" => no_host && config.get_ports().is_empty(),
        "PGUSER" => config.get_user().is_none(),
        "PGPASSWORD" => config.get_password().is_none(),
        "PGDATABASE" => config.get_dbname().is_none(),
        "PGAPPNAME" => config.get_application_name().is_none(),
        _ => false,
    };
    // The others are not even read: one that can't be used is no reason to fail.
    let environment = self::config(|name| variable(name).filter(|_| lacks(name)))?;
    if no_host {
        for host in environment.get_hosts() {
            match host {
                tokio_postgres::config::Host::Tcp(name) => config.host(name),
                tokio_postgres::config::Host::Unix(path) => config.host_path(path),
            };
        }
        environment.get_hostaddrs().iter().for_each(|address| _ = config.hostaddr(*address));
        if config.get_ports().is_empty() {
            environment.get_ports().iter().for_each(|port| _ = config.port(*port));
        }
    }
    if let (None, Some(user)) = (config.get_user(), environment.get_user()) {
        config.user(user);
    }
    if let (None, Some(password)) = (config.get_password(), environment.get_password()) {
        config.password(password);
    }
    if let (None, Some(name)) = (config.get_dbname(), environment.get_dbname()) {
        config.dbname(name);
    }
    if let (None, Some(name)) = (config.get_application_name(), environment.get_application_name()) {
        config.application_name(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_postgres::config::Host;

    fn variables(name: &str) -> Option<String> {
        let value = match name {
            "PGHOST" => "db-1,db-2",
            "PGPORT" => "6432",
            "PGUSER" => "it's \\ me",
            "PGPASSWORD" => "secret",
            "PGDATABASE" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn they_are_read_as_they_are() {
        let config = config(variables).unwrap();
        assert_eq!(config.get_hosts(), ["db-1", "db-2"].map(|host| Host::Tcp(host.to_owned())));
        assert_eq!(
            (config.get_ports(), config.get_user(), config.get_dbname()),
            (&[6432][..], Some("it's \\ me"), None)
        );
    }

    #[test]
    fn a_connection_string_goes_first() {
        let mut config: Config = "host=other user=me".parse().unwrap();
        complete(&mut config, variables).unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("other".to_owned())]);
        assert_eq!((config.get_user(), config.get_password()), (Some("me"), Some(&b"secret"[..])));
        assert!(config.get_ports().is_empty());
    }

    #[test]
    fn a_variable_that_is_not_used_is_not_read() {
        let url = "host=other port=1 user=me password=p dbname=d sslmode=require";
        for broken in ["PGSSLMODE", "PGTARGETSESSIONATTRS", "PGPORT", "PGHOSTADDR"] {
            let variable = |name: &str| (name == broken).then(|| "verify-full".to_owned());
            let mut config: Config = url.parse().unwrap();
            complete(&mut config, variable).unwrap();
            let told = super::config(variable).unwrap_err().to_string();
            assert!(told.contains("invalid value for option"), "{told}");
        }
    }
}
