//! The managers' processes, all of them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, getpid};
use tokio::sync::mpsc::UnboundedSender;

use crate::options::{Plan, Post};
use crate::player::{Heard, Player};

#[derive(Debug)]
pub struct Cast {
    posts: Vec<Post>,
    audience: UnboundedSender<Heard>,
    players: RefCell<Vec<Player>>,
    /// Whose end is no surprise.
    dismissed: RefCell<HashSet<Pid>>,
}

impl Cast {
    pub fn assemble(
        plan: &Plan,
        directory: &Path,
        audience: UnboundedSender<Heard>,
    ) -> Result<Cast> {
        let post = |number| Post {
            name: format!("manager-{number}"),
            directory: directory.to_owned(),
            lease: plan.lease,
            latency: plan.latency,
            sabotage: plan.sabotage,
            director: getpid().as_raw_nonzero().get(),
        };
        let posts: Vec<Post> = (1..=plan.managers).map(post).collect();
        let players = posts
            .iter()
            .map(|post| Player::start(post, &audience))
            .collect::<Result<_>>()?;
        Ok(Cast {
            posts,
            audience,
            players: RefCell::new(players),
            dismissed: RefCell::default(),
        })
    }

    /// Takes a manager out, to do something to it.
    pub fn take(&self, name: &str) -> Result<Player> {
        let mut players = self.players.borrow_mut();
        let index = players.iter().position(|player| player.name() == name);
        let index = index.with_context(|| format!("there is no {name}"))?;
        Ok(players.swap_remove(index))
    }

    pub fn put_back(&self, player: Player) {
        self.players.borrow_mut().push(player);
    }

    /// Starts a manager of the same name again.
    pub fn replace(&self, name: &str) -> Result<()> {
        let post = self.posts.iter().find(|post| post.name == name);
        let post = post.with_context(|| format!("there is no {name}"))?;
        self.put_back(Player::start(post, &self.audience)?);
        Ok(())
    }

    pub fn dismiss(&self, pid: Pid) {
        self.dismissed.borrow_mut().insert(pid);
    }

    pub fn is_dismissed(&self, pid: Pid) -> bool {
        self.dismissed.borrow().contains(&pid)
    }

    /// Ends every manager that is still there without notice, so that nothing changes any more.
    pub async fn kill(&self) -> Result<()> {
        let players = std::mem::take(&mut *self.players.borrow_mut());
        for player in players {
            self.dismiss(player.pid());
            player.kill().await?;
        }
        Ok(())
    }

    /// Has every manager finish and deregister.
    pub async fn stop(&self) -> Result<()> {
        let players = std::mem::take(&mut *self.players.borrow_mut());
        for player in &players {
            self.dismiss(player.pid());
        }
        for player in players {
            let name = player.name().to_owned();
            let status = player.stop().await?;
            ensure!(status.success(), "{name} ended with {status}");
        }
        Ok(())
    }
}
