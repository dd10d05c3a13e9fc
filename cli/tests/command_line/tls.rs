//! TLS, against a private server with a certificate of its own.

use crate::support::{ended, run};
use volguard_tests::PrivateServer;

/// A server with TLS, and the file with its certificate.
fn start() -> anyhow::Result<(PrivateServer, std::path::PathBuf)> {
    let server = PrivateServer::builder().durable(false).start()?;
    // The server's own user makes the key, in the directory of the data.
    let certificate = "openssl req -x509 -nodes -newkey rsa:2048 -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
        -keyout server.key -out server.crt";
    let script = format!(
        "COPY (SELECT 1) TO PROGRAM '{certificate} 2>openssl.log && cat >/dev/null';\nALTER SYSTEM SET ssl = on;\nSELECT pg_reload_conf();\n"
    );
    server.psql_script("volguard", &script)?;
    let pem = server.psql("SELECT pg_read_file('server.crt')")?;
    let file = std::env::temp_dir().join(format!("volguard-cli-{}.pem", volguard::uuid::Uuid::new_v4().simple()));
    std::fs::write(&file, pem)?;
    Ok((server, file))
}

#[tokio::test]
async fn the_server_must_have_a_certificate_that_is_trusted() -> anyhow::Result<()> {
    let (server, file) = tokio::task::spawn_blocking(start).await??;
    let url = format!("{}?sslmode=require", server.url());
    let trusted = ["--root-certificates", file.to_str().expect("a name in UTF-8")];
    let look = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = (SELECT pid FROM pg_stat_activity WHERE application_name = 'volguard' LIMIT 1)";
    let command = ["psql", "-Atc", look];
    let lock = [&trusted[..], &["lock", "volume/v-1", "--"], &command].concat();
    // The command sees the session of the program that it runs under.
    let mut program = crate::support::command(&url, &lock);
    program.env("PGPORT", server.port().to_string()).env("PGHOST", server.socket_dir()).env("PGUSER", "postgres");
    program.env("PGDATABASE", "volguard");
    let (code, said, told) = ended(&program.output().await?);
    assert_eq!((code, said.trim(), told.as_str()), (Some(0), "true", ""));
    let (code, _, told) = ended(&run(&url, &["status"]).await?);
    assert!(matches!(code, Some(114 | 115)) && told.contains("certificate"), "{code:?} {told}");
    std::fs::remove_file(file)?;
    Ok(())
}
