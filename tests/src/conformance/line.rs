//! What a program says.

/// A line of its output, as the contract has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `registered SERVICE_ID`
    Registered(i64),
    /// `begin TOKEN RESOURCE_ID`
    Begin(Piece),
    /// `end TOKEN RESOURCE_ID`
    End(Piece),
    /// `refused TOKEN RESOURCE_ID`
    Refused(Piece),
    /// `lost`
    Lost,
    /// `stopped`
    Stopped,
    /// Anything else, which breaks the contract.
    Other(String),
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its token.
    pub token: i64,
    /// Its resource.
    pub id: String,
}

impl Line {
    /// Reads a line.
    #[must_use]
    pub fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        Self::of(&words).unwrap_or_else(|| Self::Other(line.to_owned()))
    }

    /// Whether the work on this resource begins.
    #[must_use]
    pub fn begins(&self, resource: &str) -> bool {
        matches!(self, Self::Begin(piece) if piece.id == resource)
    }

    /// Whether the work on this resource ends.
    #[must_use]
    pub fn ends(&self, resource: &str) -> bool {
        matches!(self, Self::End(piece) if piece.id == resource)
    }

    fn of(words: &[&str]) -> Option<Self> {
        let piece = |token: &str, id: &str| Some(Piece { token: token.parse().ok()?, id: id.to_owned() });
        match *words {
            ["registered", id] => Some(Self::Registered(id.parse().ok()?)),
            ["begin", token, id] => piece(token, id).map(Self::Begin),
            ["end", token, id] => piece(token, id).map(Self::End),
            ["refused", token, id] => piece(token, id).map(Self::Refused),
            ["lost"] => Some(Self::Lost),
            ["stopped"] => Some(Self::Stopped),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_the_contract_are_known() {
        assert_eq!(Line::read("registered 7"), Line::Registered(7));
        assert_eq!(Line::read("end 8 v1"), Line::End(Piece { token: 8, id: "v1".to_owned() }));
        assert_eq!(Line::read("lost"), Line::Lost);
        for other in ["", "lost it", "begin v1", "begin x v1", "registered"] {
            assert_eq!(Line::read(other), Line::Other(other.to_owned()));
        }
    }
}
