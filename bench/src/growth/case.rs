//! What grows.

/// A few services, where their number is not the subject.
const FEW_SERVICES: u32 = 100;
const MANY_SERVICES: u32 = 10_000;
const FEW_ROWS: u32 = 1000;

/// A database as it could be.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// In `workers`, before the clients come.
    pub rows: u32,
    pub services: u32,
    /// Whether all services heartbeat while the clients work.
    pub heartbeats: bool,
    /// How many locks were taken and given back before.
    pub cycles: u64,
    /// Whether the clients' backends made their plans when there was one row, and no vacuum has made them think again.
    pub planned_for_one: bool,
}

impl Case {
    /// One thing is larger in each than in the first.
    pub fn all(most_rows: u32, cycles: u64) -> Vec<Case> {
        let small = Case {
            rows: FEW_ROWS,
            services: FEW_SERVICES,
            heartbeats: false,
            cycles: 0,
            planned_for_one: false,
        };
        let sizes = [1_000_000, 10_000_000].into_iter();
        let sizes = sizes.filter(|&rows| rows < most_rows).chain([most_rows]);
        let large = sizes.map(|rows| Case { rows, ..small });
        let mut cases = vec![small];
        cases.extend(large);
        let rows = most_rows.min(1_000_000);
        let planned_for_one = true;
        cases.extend([
            Case {
                rows,
                planned_for_one,
                ..small
            },
            Case { cycles, ..small },
            Case {
                rows,
                cycles,
                ..small
            },
            Case {
                services: MANY_SERVICES,
                heartbeats: true,
                ..small
            },
        ]);
        cases
    }

    pub fn name(&self) -> String {
        let mut name = format!("{} rows", thousands(u64::from(self.rows)));
        if self.planned_for_one {
            name.push_str(", planned for one");
        }
        if self.cycles > 0 {
            name.push_str(&format!(", after {} cycles", thousands(self.cycles)));
        }
        if self.heartbeats {
            let services = thousands(u64::from(self.services));
            name.push_str(&format!(", {services} services heartbeating"));
        }
        name
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
    }

    #[test]
    fn each_size_is_there_once() {
        let rows = |most| -> Vec<u32> {
            let plain = |case: &Case| !case.planned_for_one && !case.heartbeats && case.cycles == 0;
            let cases = Case::all(most, 1).into_iter().filter(plain);
            cases.map(|case| case.rows).collect()
        };
        assert_eq!(rows(1_000_000), [1000, 1_000_000]);
        assert_eq!(rows(10_000_000), [1000, 1_000_000, 10_000_000]);
    }
}
