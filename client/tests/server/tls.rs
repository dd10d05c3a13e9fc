//! TLS on all connections, against a private server with a certificate of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;
use volguard::{Builder, Error, Volguard};
use volguard_tests::PrivateServer;

use crate::support::{LONG, Observer, patient, session, unique};

/// What a connection says first: the code of a request.
const SSL: u32 = 80_877_103;

/// A server with TLS, and a client that trusts its certificate alone.
struct Server {
    server: PrivateServer,
    connector: MakeTlsConnector,
}

impl Server {
    async fn start() -> Server {
        tokio::task::spawn_blocking(|| {
            let server = PrivateServer::builder().durable(false).start().unwrap();
            // The server's own user makes the key, in the directory of the data.
            let certificate = "openssl req -x509 -nodes -newkey rsa:2048 -days 2 -subj /CN=localhost \
                               -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout server.key -out server.crt";
            let script = format!(
                "COPY (SELECT 1) TO PROGRAM '{certificate} 2>openssl.log && cat >/dev/null';\nALTER SYSTEM SET ssl = on;\n\
                 SELECT pg_reload_conf();\n"
            );
            server.psql_script("volguard", &script).unwrap();
            let pem = server.psql("SELECT pg_read_file('server.crt')").unwrap();
            let mut connector = TlsConnector::builder();
            connector.add_root_certificate(Certificate::from_pem(pem.as_bytes()).unwrap());
            connector.disable_built_in_roots(true);
            let connector = MakeTlsConnector::new(connector.build().unwrap());
            Server { server, connector }
        })
        .await
        .unwrap()
    }

    fn url(&self, port: u16) -> String {
        let url = self.server.url().replace(&format!(":{}/", self.server.port()), &format!(":{port}/"));
        format!("{url}?sslmode=require")
    }

    fn client(&self, port: u16) -> Builder {
        patient().url(&self.url(port)).tls(self.connector.clone())
    }
}

/// Carries connections to a server, and notes what each says first.
async fn listen_in(server: u16) -> (u16, Arc<Mutex<Vec<u32>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::new(Mutex::new(Vec::new()));
    let codes = Arc::clone(&said);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let codes = Arc::clone(&codes);
            tokio::spawn(async move {
                let mut first = [0; 8];
                client.read_exact(&mut first).await.unwrap();
                codes.lock().unwrap().push(u32::from_be_bytes(first[4..].try_into().unwrap()));
                let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                server.write_all(&first).await.unwrap();
                // It ends when an end does.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, said)
}

#[tokio::test]
async fn all_connections_and_cancel_requests_use_it() {
    let server = Server::start().await;
    let (port, said) = listen_in(server.server.port()).await;
    let name = unique("app");
    let client = server.client(port).url(&format!("{}&application_name={name}", server.url(port)));
    let volguard = client.connect().await.unwrap();
    let looker = volguard.register(&unique("host"), "test").janitor(Duration::from_millis(100)).await.unwrap();
    let (one, two) = (session(&volguard).await, session(&volguard).await);
    let held = one.acquire(("volume", "1")).await.unwrap().unwrap();
    let observer = Observer::of(&server.server.url().parse().unwrap()).await;
    let waiter = tokio::spawn(two.acquire(("volume", "1")).wait(LONG * 3).into_future());
    observer.until(1, async |o| o.acquires_of(&name).await).await;
    // Four at least: two heartbeats, a waiter, an idle one.
    const SECURE: &str = "SELECT count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                          WHERE application_name = $1 HAVING bool_and(ssl)";
    assert!(observer.number(SECURE, &[&name]).await >= 4);
    let before = said.lock().unwrap().len();
    waiter.abort();
    observer.until(0, async |o| o.acquires_of(&name).await).await;
    let said = said.lock().unwrap().clone();
    assert!(said.len() > before, "no cancel request was sent");
    assert!(said.iter().all(|code| *code == SSL), "{said:?}");
    assert!(held.release().await.unwrap());
    for session in [looker, one, two] {
        session.stop().await.unwrap();
    }
}

#[tokio::test]
async fn required_tls_is_had_or_refused() {
    let server = Server::start().await;
    let port = server.server.port();
    // Without a connector there is none to have.
    let refused = Volguard::builder().url(&server.url(port)).connect().await.unwrap_err();
    assert!(matches!(refused, Error::Configuration(_)), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains("sslmode") && told.contains("Builder::tls"), "{told}");
    // By default it is not required, and not had.
    let plain = Volguard::connect(&server.server.url()).await.unwrap();
    const SECURE: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let secure = async |volguard: &Volguard| -> bool {
        let connection = volguard.connection().await.unwrap();
        connection.query_one(SECURE, &[]).await.unwrap().get(0)
    };
    assert!(!secure(&plain).await);
    // With a connector it is preferred.
    let preferred = patient().url(&server.server.url()).tls(server.connector.clone());
    assert!(secure(&preferred.connect().await.unwrap()).await);

    // A certificate that the client does not trust.
    let distrusting = MakeTlsConnector::new(TlsConnector::new().unwrap());
    let refused = server.client(port).tls(distrusting).connect().await.unwrap_err();
    assert!(refused.to_string().contains("certificate verify failed"), "{refused}");
    // A server without TLS.
    let (client, connection) = tokio_postgres::connect(&server.server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("ALTER SYSTEM SET ssl = off").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let gone = async |_: &Observer| i64::from(server.client(port).connect().await.is_err());
    Observer::of(&server.server.url().parse().unwrap()).await.until(1, gone).await;
    let refused = server.client(port).connect().await.unwrap_err();
    let told = format!("can't connect to 127.0.0.1:{port}: ");
    assert!(refused.to_string().starts_with(&told) && refused.to_string().contains("TLS"), "{refused}");
}
