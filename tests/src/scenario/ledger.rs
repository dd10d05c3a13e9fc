//! A row that only the holder of a lock may touch, and that shows when two holders did.

use super::{Sql, Violation};

/// The rows of `app.ledger`, one for each key, visited over one connection by the holder of the key's lock.
///
/// A visit reads, checks that it is alone, and writes what it read plus one: three
/// statements with a commit of their own, so that only the lock keeps two visits apart.
#[derive(Debug)]
pub struct Ledger {
    sql: Sql,
}

impl Ledger {
    /// Opens it.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        Ok(Self { sql: Sql::connect(url).await? })
    }

    /// Adds rows for these keys.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn add(&self, keys: &[String]) -> anyhow::Result<()> {
        for key in keys {
            let add = format!("INSERT INTO app.ledger (key) VALUES ('{key}')");
            self.sql.run(&add).await?;
        }
        Ok(())
    }

    /// A visit under the lock with this token.
    ///
    /// # Errors
    /// [`Violation::TwoHolders`] if another visit is in progress; an error of the server.
    pub async fn visit(&self, key: &str, token: i64) -> anyhow::Result<()> {
        let (owner, visits) = self.read(key).await?;
        if let Some(other) = owner {
            return Err(two_holders(key, other, token));
        }
        self.sql
            .run(&format!(
                "UPDATE app.ledger SET owner = {token} WHERE key = '{key}';
                 INSERT INTO app.history (key, token) VALUES ('{key}', {token})"
            ))
            .await?;
        let (owner, _) = self.read(key).await?;
        if owner != Some(token) {
            return Err(two_holders(key, owner.unwrap_or_default(), token));
        }
        let visits = visits + 1;
        self.sql.run(&format!("UPDATE app.ledger SET owner = NULL, visits = {visits} WHERE key = '{key}'")).await?;
        Ok(())
    }

    async fn read(&self, key: &str) -> anyhow::Result<(Option<i64>, i64)> {
        let query = format!("SELECT owner, visits FROM app.ledger WHERE key = '{key}'");
        let mut row = self.sql.rows(&query).await?.remove(0).into_iter();
        let mut number =
            || -> anyhow::Result<Option<i64>> { Ok(row.next().flatten().map(|text| text.parse()).transpose()?) };
        let owner = number()?;
        Ok((owner, number()?.unwrap_or_default()))
    }

    /// Compares the rows with the visits: no visit was overwritten, and tokens grow from visit to visit.
    ///
    /// # Errors
    /// [`Violation::LostUpdate`], [`Violation::TokenWentBack`]; an error of the server.
    pub async fn audit(&self) -> anyhow::Result<u64> {
        let lost = "SELECT key, count(turn), visits FROM app.ledger LEFT JOIN app.history USING (key)
                    GROUP BY key, visits HAVING count(turn) <> visits";
        if let Some([key, visits, counted]) = self.first(lost).await? {
            return Err(Violation::LostUpdate { key, visits: visits.parse()?, counted: counted.parse()? }.into());
        }
        let back = "SELECT key, earlier, token
                    FROM (SELECT key, token, lag(token) OVER (PARTITION BY key ORDER BY turn) AS earlier FROM app.history) AS h
                    WHERE token <= earlier";
        if let Some([key, earlier, later]) = self.first(back).await? {
            return Err(Violation::TokenWentBack { key, earlier: earlier.parse()?, later: later.parse()? }.into());
        }
        let visits = self.sql.number("SELECT count(*) FROM app.history").await?;
        Ok(visits.unwrap_or_default().unsigned_abs())
    }

    async fn first(&self, query: &str) -> anyhow::Result<Option<[String; 3]>> {
        let rows = self.sql.rows(query).await?;
        Ok(rows.into_iter().next().and_then(|row| {
            let row: Vec<String> = row.into_iter().flatten().collect();
            row.try_into().ok()
        }))
    }
}

fn two_holders(key: &str, other: i64, token: i64) -> anyhow::Error {
    Violation::TwoHolders { key: key.to_owned(), tokens: [other, token] }.into()
}
