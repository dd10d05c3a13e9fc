//! What is printed while it happens: one line an event. All processes write to the same standard output.

use volguard_tests::time::now;

/// Of a terminal.
const WIDTH: usize = 100;

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
        let mut said = format!("{:7.2} s  {:<10}", self.seconds(), self.name);
        let indent = said.len();
        let mut room = WIDTH - indent;
        for word in text.split(' ') {
            if room <= word.len() {
                said += &format!("\n{:indent$}  ", "");
                room = WIDTH - indent - 2;
            }
            said += &format!(" {word}");
            room -= (word.len() + 1).min(room);
        }
        // At once, so that no other process prints into it.
        println!("{said}");
    }

    /// Since the demo began.
    pub fn seconds(&self) -> f64 {
        (now() - self.began) as f64 / 1e9
    }
}
