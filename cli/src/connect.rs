//! Where the database is, and how to get there.

use crate::args::Database;
use crate::error::Failure;
use std::time::Duration;
use volguard::{Builder, StatementMode, Volguard};

/// How long a call may take.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(15);

/// The settings of a client. What they lack comes from the variables of libpq.
pub(crate) fn builder(database: &Database) -> Result<Builder, Failure> {
    // One connection to work on, one to wait on.
    let mut builder = Volguard::builder().pool_size(2).max_waiters(1).time_limit(TIME_LIMIT);
    let url = match (&database.url, std::env::var_os("DATABASE_URL").filter(|url| !url.is_empty())) {
        (Some(url), _) => Some(url.clone()),
        // Without it, the PG* variables would lead to some other database.
        (None, Some(url)) => {
            let unusable = |_| Failure::Usage("DATABASE_URL is not valid UTF-8".to_owned());
            Some(url.into_string().map_err(unusable)?)
        }
        (None, None) => None,
    };
    if let Some(url) = url {
        builder = builder.url(&url);
    }
    if database.pooled {
        builder = builder.statement_mode(StatementMode::Unnamed);
    }
    with_tls(builder, database)
}

#[cfg(not(feature = "tls"))]
fn with_tls(builder: Builder, _: &Database) -> Result<Builder, Failure> {
    Ok(builder)
}

/// The server must prove who it is, by a certificate for the host's name, whatever `sslmode` says.
#[cfg(feature = "tls")]
fn with_tls(builder: Builder, database: &Database) -> Result<Builder, Failure> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    match &database.root_certificates {
        // A system without certificates trusts no server: that is told when TLS begins.
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        Some(file) => {
            let unusable = |problem: String| Failure::Usage(format!("--root-certificates: {problem}"));
            let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            for certificate in all.map_err(|error| unusable(error.to_string()))? {
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
        }
    }
    // Named, because another crate may bring a second one.
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| Failure::Usage(error.to_string()))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(builder.tls(tokio_postgres_rustls::MakeRustlsConnect::new(config)))
}
