//! Hears what the managers tell: prints it, counts it, passes it on to whoever waits for something to happen.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use tokio::sync::broadcast;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::cast::Cast;
use crate::event::{Attempt, Door, Event};
use crate::player::{Heard, Sound};
use crate::timeline::Timeline;

/// So many complaints are printed; without a guard there would be thousands.
const COMPLAINTS: u64 = 40;

#[derive(Debug)]
pub struct Audience {
    timeline: Rc<Timeline>,
    events: broadcast::Sender<(String, Event)>,
    services: RefCell<HashMap<String, i64>>,
    doors: RefCell<BTreeMap<(i64, Door), Attempts>>,
    troubles: Cell<u64>,
    /// Lines about what went wrong or was refused.
    complaints: Cell<u64>,
}

/// What was tried at one door with locks that were lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempts {
    pub refused: u64,
    pub admitted: u64,
}

impl Audience {
    pub fn new(timeline: Rc<Timeline>) -> Audience {
        Audience {
            timeline,
            events: broadcast::Sender::new(4096),
            services: RefCell::default(),
            doors: RefCell::default(),
            troubles: Cell::default(),
            complaints: Cell::default(),
        }
    }

    pub fn subscribe(&self) -> broadcast::Receiver<(String, Event)> {
        self.events.subscribe()
    }

    /// The service that a manager is at present.
    pub fn service_of(&self, manager: &str) -> Result<i64> {
        let services = self.services.borrow();
        services.get(manager).copied().context("is no service yet")
    }

    pub fn manager_count(&self) -> usize {
        self.services.borrow().len()
    }

    pub fn attempts_of(&self, service_id: i64) -> BTreeMap<Door, Attempts> {
        let doors = self.doors.borrow();
        doors
            .iter()
            .filter(|((service, _), _)| *service == service_id)
            .map(|((_, door), attempts)| (*door, *attempts))
            .collect()
    }

    pub fn troubles(&self) -> u64 {
        self.troubles.get()
    }

    /// Listens until a manager ends that was not meant to.
    pub async fn listen(&self, heard: &mut UnboundedReceiver<Heard>, cast: &Cast) -> Result<()> {
        while let Some(Heard { name, pid, what }) = heard.recv().await {
            match what {
                Sound::Told(event) => {
                    self.note(&name, &event);
                    // Nobody has to be waiting for anything.
                    let _ = self.events.send((name, event));
                }
                Sound::Said(line) => self.timeline.say(&name, &line),
                Sound::Gone if cast.is_dismissed(pid) => {}
                Sound::Gone => bail!("{name} ended unexpectedly"),
            }
        }
        bail!("no manager is left")
    }

    fn note(&self, name: &str, event: &Event) {
        let timeline = &self.timeline;
        match event {
            Event::Registered { service_id } => {
                let mut services = self.services.borrow_mut();
                services.insert(name.to_owned(), *service_id);
                timeline.say(name, &event.to_string());
            }
            Event::Closed { done: false, .. } | Event::Cleaned { .. } | Event::Lost { .. } => {
                timeline.say(name, &event.to_string());
            }
            Event::Entered { .. } | Event::Closed { .. } => {
                timeline.whisper(name, &event.to_string());
            }
            Event::Refused { door, attempt } => {
                self.at_door(attempt, *door, |attempts| attempts.refused += 1);
                match door {
                    // What it would have met of itself.
                    Door::Storage | Door::Session => self.complain(name, event),
                    _ => timeline.whisper(name, &event.to_string()),
                }
            }
            Event::Admitted { door, attempt } => {
                self.at_door(attempt, *door, |attempts| attempts.admitted += 1);
                self.complain(name, event);
            }
            Event::Trouble { .. } => {
                self.troubles.set(self.troubles.get() + 1);
                self.complain(name, event);
            }
        }
    }

    fn at_door(&self, attempt: &Attempt, door: Door, count: impl Fn(&mut Attempts)) {
        let mut doors = self.doors.borrow_mut();
        count(doors.entry((attempt.service_id, door)).or_default());
    }

    fn complain(&self, name: &str, event: &Event) {
        let complaints = self.complaints.replace(self.complaints.get() + 1);
        match complaints.cmp(&COMPLAINTS) {
            Ordering::Less => self.timeline.say(name, &event.to_string()),
            Ordering::Equal => self.timeline.say(name, "and more of the kind"),
            Ordering::Greater => self.timeline.whisper(name, &event.to_string()),
        }
    }
}
