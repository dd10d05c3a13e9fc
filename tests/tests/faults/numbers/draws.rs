//! Servers with a past, and the numbers that they draw.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Sql, Violation, furnish, sqlstate, url};
use volguard_tests::{PrivateServer, PrivateServerBuilder, Profile};

use crate::server::growing;

pub const HOUR: i64 = 60 * 60;
const LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// More than one record of a sequence in the log is good for.
const TOKENS: usize = 40;

/// Servers of one build, with these guards removed.
#[derive(Clone, Copy)]
pub struct Build {
    pub profile: Profile,
    pub without: &'static str,
}

/// With every guard.
pub const WHOLE: Build = Build { profile: Profile::Debug, without: "" };

impl Build {
    pub fn without(guards: &'static str) -> Self {
        Build { profile: Profile::Sabotage, without: guards }
    }

    pub fn builder(self) -> PrivateServerBuilder {
        let builder = PrivateServer::builder().profile(self.profile).durable(false);
        match self.without {
            "" => builder,
            guards => builder.setting("volguard.sabotage", guards),
        }
    }

    pub fn server(self) -> anyhow::Result<PrivateServer> {
        furnished(self.builder())
    }

    /// A server that has drawn its first numbers an hour ago, when it was in a new place.
    pub async fn old_server(self, drawn: &mut Vec<i64>) -> anyhow::Result<PrivateServer> {
        let mut server = furnished(self.builder().clock(-HOUR))?;
        draw(&session(&server).await?, "hour-ago", drawn).await?;
        server.stop()?;
        Ok(server)
    }
}

fn furnished(builder: PrivateServerBuilder) -> anyhow::Result<PrivateServer> {
    let server = builder.start()?;
    furnish(&server)?;
    Ok(server)
}

pub async fn session(server: &PrivateServer) -> anyhow::Result<Sql> {
    Ok(Sql::connect(&url("manager", server.port(), "volguard")).await?)
}

/// Draws numbers of all kinds: a service id, tokens, of which half are released, and the ids of two events. Each must
/// be larger than all before it.
pub async fn draw(sql: &Sql, name: &str, drawn: &mut Vec<i64>) -> anyhow::Result<()> {
    let service = next(
        sql,
        &format!("SELECT volguard.register_service('{name}', 'test', lease => '{} s')", LEASE.as_secs()),
        drawn,
    )
    .await?;
    for number in 0..TOKENS {
        let token =
            next(sql, &format!("SELECT volguard.acquire({service}, 'volume', '{name}-{number}')"), drawn).await?;
        if number % 2 == 0 {
            assert!(sql.release(token).await?);
        }
        if number % 16 == 1 {
            sql.run(&format!("SELECT volguard.force_release({token}, 'test')")).await?;
            next(sql, "SELECT max(event_id) FROM volguard.event_log", drawn).await?;
        }
    }
    Ok(())
}

/// The next number, which must be larger than those drawn before.
pub async fn next(sql: &Sql, statement: &str, drawn: &mut Vec<i64>) -> anyhow::Result<i64> {
    let number = match sql.number(statement).await {
        Ok(number) => number.with_context(|| statement.to_owned())?,
        Err(error) if sqlstate(&error) == "23505" => {
            return Err(Violation::NumberInUse(format!("{statement}: {error:?}")).into());
        }
        Err(error) => return Err(error.into()),
    };
    growing(drawn, &[number])?;
    drawn.push(number);
    Ok(number)
}

/// The numbers have come back, or fallen.
pub fn are_back(result: anyhow::Result<()>) {
    let violation = Violation::expected_in(result);
    let back = matches!(violation, Violation::TokenWentBack { .. } | Violation::NumberInUse(_));
    assert!(back, "{violation}");
}
