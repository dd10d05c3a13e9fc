//! The cases of growth.

/// One state of a database.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Rows in `workers` before the clients start.
    pub rows: u32,
    pub services: u32,
    /// Whether all services heartbeat while the clients work.
    pub heartbeats: bool,
    /// The number of locks that were taken and released before.
    pub cycles: u64,
    /// Whether the clients' backends made their plans with one row, and no vacuum has had them made again.
    pub planned_for_one: bool,
}

impl Case {
    /// Each case is larger than the first in one thing.
    pub fn all(most_rows: u32, cycles: u64) -> Vec<Case> {
        const MILLION: u32 = 1_000_000;
        let small = Case { rows: 1000, services: 100, heartbeats: false, cycles: 0, planned_for_one: false };
        let rows = most_rows.min(MILLION);
        let large = Case { rows, ..small };
        let mut cases = vec![small, large];
        if most_rows > MILLION {
            let rows = most_rows;
            cases.push(Case { rows, ..small });
        }
        let (services, heartbeats, planned_for_one) = (10_000, true, true);
        cases.extend([
            Case { planned_for_one, ..large },
            Case { cycles, ..small },
            Case { cycles, ..large },
            Case { services, heartbeats, ..small },
        ]);
        cases
    }

    pub fn name(&self) -> String {
        let mut name = format!("{} rows", self.rows);
        if self.planned_for_one {
            name.push_str(", planned for one");
        }
        if self.cycles > 0 {
            name.push_str(&format!(", after {} cycles", self.cycles));
        }
        if self.heartbeats {
            name.push_str(&format!(", {} services heartbeating", self.services));
        }
        name
    }
}
