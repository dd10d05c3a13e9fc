//! What was called, and what became of it.

use tokio::time::Instant;

/// One statement, as it was sent to be executed.
#[derive(Debug, Clone)]
pub struct Call {
    /// The number of its connection.
    pub connection: usize,
    /// The functions of volguard in it.
    pub verbs: Vec<String>,
    /// When it was sent.
    pub sent: Instant,
    /// When the server had answered; `None` if it has not.
    pub answered: Option<Instant>,
    /// The number of rows of the answer.
    pub rows: usize,
    /// The SQLSTATE of a refusal.
    pub refusal: Option<String>,
}

impl Call {
    pub(super) fn new(connection: usize, text: &str) -> Self {
        let sent = Instant::now();
        Self { connection, verbs: verbs(text), sent, answered: None, rows: 0, refusal: None }
    }

    /// Whether it calls this function of volguard.
    #[must_use]
    pub fn is(&self, verb: &str) -> bool {
        self.verbs.iter().any(|found| found == verb)
    }

    /// Whether the server has done it.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.answered.is_some() && self.refusal.is_none()
    }
}

/// The names after each `volguard.`, in a statement's text.
fn verbs(text: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    text.split("volguard.").skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::verbs;

    #[test]
    fn verbs_are_found_by_their_whole_names() {
        let text = "SELECT (volguard.finish_work(1, '{}')).outcome, volguard.acquire_all(2) FROM app.volguard";
        assert_eq!(verbs(text), ["finish_work", "acquire_all"]);
        assert!(verbs("BEGIN").is_empty());
    }
}
