//! The client against a server, which `DATABASE_URL` names: `with-postgres -- cargo test -p volguard`.

mod acquire;
mod broken_connections;
mod claims;
mod cleanup;
mod dropped_futures;
mod endings;
mod errors;
mod given_up;
mod guarded_work;
mod hosts;
mod incarnations;
mod janitor;
mod locks;
mod logs;
mod queue;
mod refused_releases;
mod seats;
mod sessions;
mod settled;
mod support;
mod tls;
mod unnamed;
mod update_documents;
mod updates;
mod version;
mod work;
