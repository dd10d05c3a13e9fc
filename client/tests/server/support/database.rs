//! A database of its own, for what would disturb other tests.

use tokio_postgres::{Client, Config, NoTls};
use volguard::Builder;

use super::{Observer, direct, patient, unique};

/// Removed when it is dropped, if it can be.
pub(crate) struct Database {
    name: String,
}

impl Database {
    /// With the extension in it.
    pub(crate) async fn new() -> Database {
        let database = Database::bare().await;
        database.admin().await.batch_execute("CREATE EXTENSION volguard").await.expect("the extension");
        database
    }

    pub(crate) async fn bare() -> Database {
        let name = unique("database");
        // Others may be connected to the usual template.
        Observer::new().await.run(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0")).await;
        Database { name }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = direct();
        config.dbname(&self.name);
        config
    }

    pub(crate) fn client(&self) -> Builder {
        patient().config(self.config())
    }

    /// A connection without the client.
    pub(crate) async fn admin(&self) -> Client {
        let (client, connection) = self.config().connect(NoTls).await.expect("the database");
        tokio::spawn(connection);
        client
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop_it = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
        // In a runtime of its own: that of the test may be at its end.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (client, connection) = direct().connect(NoTls).await.expect("the server");
                tokio::spawn(connection);
                let mut dropped = client.batch_execute(&drop_it).await;
                // The server waits for the sessions that it ends, but only for five seconds.
                for _ in 0..5 {
                    if dropped.is_err() {
                        dropped = client.batch_execute(&drop_it).await;
                    }
                }
                dropped.expect(&drop_it);
            });
        });
        if let Err(panic) = dropping.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
