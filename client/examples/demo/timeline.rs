//! What is printed while it happens: one line an event. All processes write to the same standard output.

use volguard_tests::time::now;

#[derive(Clone, Debug)]
pub struct Timeline {
    pub name: String,
    began: u64,
}

impl Timeline {
    pub fn new(name: &str, began: u64) -> Timeline {
        let name = name.to_owned();
        Timeline { name, began }
    }

    pub fn say(&self, text: &str) {
        println!("{:7.2} s  {:<10} {text}", self.seconds(), self.name);
    }

    /// Since the demo began.
    pub fn seconds(&self) -> f64 {
        (now() - self.began) as f64 / 1e9
    }
}
