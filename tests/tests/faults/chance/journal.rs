//! Who held what and when, written down in the database by whoever held it.

use volguard_tests::scenario::{Sql, Violation};

/// The table `app.journal`. An entry is made after a lock was got and before it is given back, so that no two stays on a key
/// overlap unless two held it.
pub struct Journal {
    sql: Sql,
}

impl Journal {
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let sql = Sql::connect(url).await?;
        Ok(Self { sql })
    }

    pub async fn clear(&self) -> anyhow::Result<()> {
        Ok(self.sql.run("DELETE FROM app.journal").await?)
    }

    pub async fn write(&self, key: &str, token: i64, enters: bool) -> anyhow::Result<()> {
        let write = format!(
            "INSERT INTO app.journal (key, token, enters) VALUES ('{key}', {token}, {enters})"
        );
        Ok(self.sql.run(&write).await?)
    }

    /// Whoever entered found the key left by whoever was there before, and has the largest token so far.
    pub async fn audit(&self) -> anyhow::Result<()> {
        let look = "SELECT key, token, before, largest, alone FROM (
                SELECT key, token, enters, turn,
                       lag(token) OVER w AS before, coalesce(lag(enters) OVER w, false) = false AS alone,
                       max(token) OVER (PARTITION BY key ORDER BY turn ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS largest
                FROM app.journal WINDOW w AS (PARTITION BY key ORDER BY turn)) AS j
            WHERE enters AND (NOT alone OR token <= largest) ORDER BY turn LIMIT 1";
        let Some(row) = self.sql.rows(look).await?.into_iter().next() else {
            return Ok(());
        };
        let row: Vec<String> = row.into_iter().flatten().collect();
        let [key, token, before, largest, alone] = &row[..] else {
            anyhow::bail!("an audit that says {row:?}");
        };
        let (key, token) = (key.clone(), token.parse()?);
        Err(match &**alone {
            "t" => Violation::TokenWentBack {
                key,
                earlier: largest.parse()?,
                later: token,
            },
            _ => Violation::TwoHolders {
                key,
                tokens: [before.parse()?, token],
            },
        }
        .into())
    }
}
