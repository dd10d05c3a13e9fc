//! What connecting says of the extension, and statements that have vanished from under the client.

use volguard::{Error, sql};

use crate::support::{Database, code, connect, key, named_direct, session, unique};

#[tokio::test]
async fn a_database_without_the_extension_is_refused() {
    let database = Database::bare().await;
    let refused = database.client().connect().await.unwrap_err();
    assert!(matches!(refused, Error::ExtensionMissing), "{refused:?}");
    assert!(refused.to_string().contains("CREATE EXTENSION volguard") && !refused.is_retryable());
    // Later, it works.
    let volguard = database.client().lazy().unwrap();
    database.admin().await.batch_execute("CREATE EXTENSION volguard").await.unwrap();
    volguard.register(&unique("host"), "test").await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn an_extension_of_another_version_is_told_at_connect() {
    let connection = connect().await.connection().await.unwrap();
    let installed = sql::extension_version(&connection).await.unwrap();
    assert_eq!(installed, env!("CARGO_PKG_VERSION"));
    let database = Database::new().await;
    let set = async |version: &str| {
        let set = format!("UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'volguard'");
        database.admin().await.batch_execute(&set).await.unwrap();
    };
    let connect = || database.client().connect();
    set("9.9.0").await;
    let refused = connect().await.unwrap_err();
    assert!(matches!(&refused, Error::ExtensionVersion { installed } if installed == "9.9.0"), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains("9.9.0") && told.contains(env!("CARGO_PKG_VERSION")), "{told}");
    assert!(!refused.is_retryable());
    // Not even asked.
    database.client().lazy().unwrap();

    // A patch of the same minor version has the same interface.
    let (minor, _) = installed.rsplit_once('.').unwrap();
    set(&format!("{minor}.999")).await;
    connect().await.unwrap();
}

/// As poolers in transaction mode do, unless they keep track of statements.
#[tokio::test]
async fn a_statement_that_vanished_hints_at_the_mode_for_poolers() {
    let volguard = named_direct(&unique("app")).pool_size(2).connect().await.unwrap();
    let lock = session(&volguard).await.acquire(key("1")).await.unwrap().unwrap();
    let connections = [volguard.connection().await.unwrap(), volguard.connection().await.unwrap()];
    for connection in &connections {
        // The client takes it for prepared.
        sql::assert_held(connection, lock.token()).await.unwrap();
        connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    }
    drop(connections);
    let vanished = lock.assert_held().await.unwrap_err();
    assert_eq!(code(&vanished), Some("26000"));
    assert!(vanished.to_string().contains("StatementMode::Unnamed"), "{vanished}");
    // Each connection prepares it again: the other one fails once, as soon as it is back in the pool.
    let mut failed = 0;
    for _ in 0..20 {
        failed += usize::from(lock.assert_held().await.is_err());
    }
    assert!(failed <= 1, "{failed}");
}
