//! The client against a server, which `DATABASE_URL` names: `with-postgres -- cargo test -p volguard`.

mod broken_connections;
mod builder;
mod claims;
mod cleanup;
mod dropped_futures;
mod endings;
mod errors;
mod events;
mod guarded_work;
mod incarnations;
mod janitor;
mod line;
mod lock_set;
mod locks;
mod repeated_updates;
mod sessions;
mod support;
mod unnamed;
mod updates;
mod work;
