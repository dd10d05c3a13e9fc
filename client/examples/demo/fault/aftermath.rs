//! Who repaired what a fault left, and when.

use std::time::Duration;

use anyhow::Result;
use volguard::Volguard;

use super::caught::{Caught, Interrupted};

#[derive(Clone, Debug)]
pub struct Aftermath {
    pub signal: &'static str,
    pub caught: Caught,
    /// From the signal until the service was fenced.
    pub fenced_after: Duration,
    pub fates: Vec<Fate>,
}

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Fate {
    pub work: Interrupted,
    /// Whose clean-up ran the crash rule, and how long after the signal; none if there was no work in it yet.
    pub rule: Option<(String, Duration)>,
    /// Who brought the request to its end.
    pub closed_by: String,
    pub closed_after: Duration,
    pub done: bool,
}

impl Aftermath {
    /// To be called when all the requests are closed.
    pub async fn read(
        volguard: &Volguard,
        caught: Caught,
        signal: &'static str,
    ) -> Result<Aftermath> {
        let client = volguard.pool().get().await?;
        let sql = "SELECT (extract(epoch FROM fenced_at) * 1000000)::bigint - $2 FROM volguard.service_status \
                   WHERE service_id = $1";
        let fenced = client
            .query_opt(sql, &[&caught.service_id, &caught.at])
            .await?;
        let fenced_after = match fenced {
            Some(row) => row.try_get::<_, Option<i64>>(0)?,
            None => None,
        };
        let sql = "SELECT r.state, r.closed_by, (extract(epoch FROM r.closed_at) * 1000000)::bigint - $3::bigint, h.made_by, \
                          (extract(epoch FROM h.at) * 1000000)::bigint - $3::bigint \
                   FROM volguard_demo.requests AS r LEFT JOIN volguard_demo.history AS h \
                        ON h.id = $2 AND h.by_crash AND h.at > to_timestamp($3::bigint / 1000000.0) AND h.at <= r.closed_at \
                   WHERE r.id = $1 ORDER BY h.at LIMIT 1";
        let statement = client.prepare_cached(sql).await?;
        let mut fates = Vec::new();
        for work in &caught.interrupted {
            let row = client
                .query_one(&statement, &[&work.request, &work.subject, &caught.at])
                .await?;
            let rule_by: Option<String> = row.try_get(3)?;
            let rule_after: Option<i64> = row.try_get(4)?;
            fates.push(Fate {
                work: work.clone(),
                rule: rule_by.zip(rule_after.map(micros)),
                closed_by: row.try_get(1)?,
                closed_after: micros(row.try_get(2)?),
                done: row.try_get::<_, &str>(0)? == "done",
            });
        }
        Ok(Aftermath {
            signal,
            fenced_after: micros(fenced_after.unwrap_or_default()),
            caught,
            fates,
        })
    }

    /// Whether every piece of work was repaired by somebody else.
    pub fn is_complete(&self) -> bool {
        let mut begun = self.fates.iter().filter(|fate| fate.work.step.is_some());
        begun.all(|fate| fate.rule.is_some() && fate.closed_by != self.caught.name)
    }

    /// From the signal until the last request was closed.
    pub fn over_after(&self) -> Duration {
        let all = self.fates.iter().map(|fate| fate.closed_after);
        all.max().unwrap_or_default()
    }

    pub fn lines(&self) -> Vec<String> {
        self.fates
            .iter()
            .map(|fate| format!("sees {}, {}", fate.repair(), fate.end()))
            .collect()
    }
}

impl Fate {
    fn repair(&self) -> String {
        let Interrupted {
            operation,
            volume_name,
            ..
        } = &self.work;
        match &self.rule {
            Some((by, after)) => format!(
                "{operation} {volume_name} cleaned up by {by} after {:.2} s",
                after.as_secs_f64()
            ),
            None => format!("{operation} {volume_name}, not begun, freed"),
        }
    }

    fn end(&self) -> String {
        format!(
            "{} by {} after {:.2} s",
            self.outcome(),
            self.closed_by,
            self.closed_after.as_secs_f64()
        )
    }

    pub fn outcome(&self) -> &'static str {
        if self.done { "done" } else { "rolled back" }
    }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}
