//! Several servers in one configuration, and what is said of one that can't be used.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use volguard::{Builder, Error, Volguard};
use volguard_tests::PrivateServer;

use crate::support::{
    Fault, LEASE, LONG, Observer, Proxy, beats, code, direct, key, outlives_its_lease, patient, unique,
};

/// Accepts connections, as the system does for a process that listens, and never answers.
async fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A client that tries this port first, and the proxy second.
fn behind(first: u16, proxy: &Proxy) -> Builder {
    let config = proxy.config();
    let mut both = Config::new();
    both.host("127.0.0.1").port(first).host("127.0.0.1").port(proxy.port());
    both.user(config.get_user().unwrap()).dbname(config.get_dbname().unwrap());
    config.get_password().map(|password| both.password(password));
    proxy.builder().config(both)
}

/// The next heartbeat needs a new connection.
fn lose_connection(proxy: &Proxy) {
    proxy.inject("volguard.heartbeat(", Fault::LoseStatement, 1);
}

#[tokio::test]
async fn a_first_host_that_never_answers_is_passed_by() {
    let ((_listener, silent), proxy) = (silent().await, Proxy::start().await);
    let builder = behind(silent, &proxy).connect_timeout(Duration::from_secs(5));
    let volguard = timeout(LONG / 2, builder.connect()).await.unwrap().unwrap();
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let session = timeout(LONG / 2, registration.into_future()).await.unwrap().unwrap();
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    outlives_its_lease(&session).await;
    lock.assert_held().await.unwrap();
}

/// A try at the first host may take as long as the lease. That is long, so that on a busy machine what is left after a
/// try, or after a second one, is enough.
#[tokio::test]
async fn heartbeats_get_to_the_second_host_before_the_lease_ends() {
    let ((_listener, silent), proxy) = (silent().await, Proxy::start().await);
    let lease = 2 * LEASE;
    let volguard = behind(silent, &proxy).connect_timeout(lease).lazy().unwrap();
    let registration = volguard.register(&unique("host"), "test").lease(lease);
    let session = timeout(LONG, registration.into_future()).await.unwrap().unwrap();
    for _ in 0..2 {
        lose_connection(&proxy);
        beats(&session).await;
        assert!(proxy.struck());
    }
}

#[tokio::test]
async fn a_first_host_that_refuses_is_passed_by() {
    let ((listener, refusing), proxy) = (silent().await, Proxy::start().await);
    drop(listener);
    let volguard = timeout(LONG / 2, behind(refusing, &proxy).connect()).await.unwrap().unwrap();
    let session = volguard.register(&unique("host"), "test").lease(LEASE).await.unwrap();
    lose_connection(&proxy);
    outlives_its_lease(&session).await;
    assert!(proxy.struck());
}

/// As after a fail-over: the first host is a standby, which takes no writes.
#[tokio::test]
async fn the_host_that_takes_writes_is_found() {
    let standby = PrivateServer::builder().bare().durable(false);
    let standby = tokio::task::spawn_blocking(move || standby.start()).await.unwrap().unwrap();
    // It takes the same name and password as the other server.
    let server = direct();
    let (user, password) = (server.get_user().unwrap(), server.get_password().unwrap_or_default());
    let password = std::str::from_utf8(password).unwrap();
    let database = server.get_dbname().unwrap();
    let script = format!(
        "SELECT 'CREATE ROLE \"{user}\" SUPERUSER LOGIN' WHERE to_regrole('\"{user}\"') IS NULL \\gexec\n\
         ALTER ROLE \"{user}\" PASSWORD '{password}';\n\
         SELECT 'CREATE DATABASE \"{database}\"' WHERE NOT EXISTS \
         (SELECT FROM pg_database WHERE datname = '{database}') \\gexec\n\
         ALTER SYSTEM SET default_transaction_read_only = on;\n\
         SELECT pg_reload_conf();\n"
    );
    standby.psql_script("postgres", &script).unwrap();
    let Some(Host::Tcp(host)) = server.get_hosts().first() else { panic!("a URL with a host name") };
    let mut both = Config::new();
    both.host("127.0.0.1").port(standby.port()).host(host).port(server.get_ports()[0]);
    both.user(user).password(password).dbname(database);
    // The first one answers: it has no extension.
    let refused = patient().config(both.clone()).connect().await.unwrap_err();
    assert!(matches!(refused, Error::ExtensionMissing), "{refused}");
    both.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let volguard = patient().config(both).connect().await.unwrap();
    let mut incarnations = volguard.register(&unique("host"), "test").incarnations();
    let session = incarnations.next().await.unwrap().unwrap();
    assert_eq!(Observer::new().await.up(session.service_id()).await, 1);
    session.stop().await.unwrap();

    // Without any that does, it is said which one was asked last; a fail-over may be under way.
    let mut none = Config::new();
    none.host("127.0.0.1").port(standby.port()).user(user).password(password).dbname(database);
    none.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let refused = patient().config(none).connect().await.unwrap_err();
    let told = refused.to_string();
    assert!(told.contains(&format!("127.0.0.1:{}", standby.port())) && told.contains("writes"), "{told}");
    assert!(refused.is_retryable(), "{refused:?}");
}

#[tokio::test]
async fn an_error_names_the_host_and_the_cause() {
    let server = direct();
    let port = server.get_ports()[0];
    let Some(Host::Tcp(host)) = server.get_hosts().first() else { panic!("a URL with a host name") };
    let mut wrong_password = server.clone();
    wrong_password.password("wrong");
    let mut missing_database = server.clone();
    missing_database.dbname("no such database");
    let user = server.get_user().unwrap();
    for (config, state, cause) in [
        (wrong_password, "28P01", format!("password authentication failed for user \"{user}\"")),
        (missing_database, "3D000", "database \"no such database\" does not exist".to_owned()),
    ] {
        let volguard = patient().config(config).lazy().unwrap();
        let mut incarnations = volguard.register(&unique("host"), "test").incarnations();
        let refused = [
            volguard.connection().await.unwrap_err(),
            volguard.register(&unique("host"), "test").await.unwrap_err(),
            timeout(LONG, incarnations.next()).await.expect("it ends").unwrap_err(),
        ];
        for error in refused {
            assert!(matches!(error, Error::Connect { .. }), "{error:?}");
            assert_eq!(error.to_string(), format!("can't connect to {host}:{port}: {cause} ({state})"));
            assert_eq!(code(&error), Some(state));
            assert!(!error.is_retryable());
        }
    }

    let (listener, silent) = silent().await;
    let config = format!("host=127.0.0.1 port={silent} user=x dbname=x");
    let client = || Volguard::builder().url(&config).connect_timeout(Duration::from_millis(200));
    let late = client().connect().await.unwrap_err();
    assert_eq!(late.to_string(), format!("can't connect to 127.0.0.1:{silent}: no answer within 200ms"));
    assert!(late.is_retryable());
    drop(listener);
    let refused = client().connect().await.unwrap_err();
    let told = refused.to_string();
    assert!(told.starts_with(&format!("can't connect to 127.0.0.1:{silent}: ")), "{told}");
    assert!(told.contains("Connection refused") && refused.is_retryable(), "{told}");
    let unknown =
        Volguard::builder().url("host=nowhere.invalid port=5432 user=x dbname=x").connect().await.unwrap_err();
    assert!(unknown.to_string().starts_with("can't connect to nowhere.invalid:5432: "), "{unknown}");
}

/// The time limit of a call ends sooner than that of an address.
#[tokio::test]
async fn a_short_time_limit_is_shared_by_the_hosts() {
    let ((_listener, silent), proxy) = (silent().await, Proxy::start().await);
    // The second one has half of it.
    let volguard = behind(silent, &proxy).time_limit(Duration::from_secs(10)).connect().await.unwrap();
    assert!(volguard.connection().await.is_ok());
    let config = format!("host=127.0.0.1 port={silent} user=x dbname=x");
    let refused = Volguard::builder().url(&config).time_limit(Duration::from_secs(1)).connect().await.unwrap_err();
    assert!(refused.to_string().starts_with(&format!("can't connect to 127.0.0.1:{silent}: no answer")), "{refused}");
}
