//! Two writers, each behind its own network, and one network fault after the other on either.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};
use volguard_tests::scenario::{Conduct, Cut, Direction, Disk, Proxy, Road, Route, Site, Writer, WriterOptions};

use super::{block, mend};

const LEASE: Duration = Duration::from_secs(2);
const LASTS: Duration = Duration::from_secs(15);
/// Without a change of writers the test shows nothing.
const TURNS: usize = 3;

fn trouble(proxy: &Proxy, rng: &mut Rng) {
    match rng.u8(0..6) {
        0 => proxy.set_road(Direction::Request, Road::Blocked),
        1 => proxy.set_road(Direction::Reply, Road::Blocked),
        2 => block(proxy, &[Direction::Request, Direction::Reply]),
        3 => proxy.set_road(Direction::Reply, Road::Slow(LEASE.mul_f64(rng.f64()))),
        4 => {
            proxy.strand();
            proxy.refuse(rng.bool());
        }
        _ => {
            proxy.cut(rng.usize(0..3), Cut::Reply { keep: 3 });
            proxy.refuse(rng.bool());
        }
    }
}

/// A seed that has failed is worth keeping, although the machine's timing still differs.
#[tokio::test]
async fn never_do_both_write_whatever_the_weather() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let disk = Disk::create()?;
    let (mut proxies, mut writers) = (Vec::new(), Vec::new());
    for host in ["first", "second"] {
        let proxy = Proxy::in_front_of(site.port()).await?;
        let options = WriterOptions {
            url: site.url_by_port(proxy.port()),
            host: host.to_owned(),
            lease: LEASE,
            disk: disk.path().to_owned(),
            conduct: Conduct::Guarded,
        };
        let mut writer = Writer::start(crate::DISK_WRITER.as_ref(), &options, &[])?;
        writer.until_it_registers().await?;
        proxies.push(proxy);
        writers.push(writer);
    }
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let (end, limit) = (Instant::now() + LASTS, Instant::now() + LASTS * 5);
    // One at a time, so that the other can take over.
    for round in 0.. {
        let enough = disk.audit().map_or(TURNS, |turns| turns.len()) >= TURNS;
        if (enough && Instant::now() > end) || Instant::now() > limit {
            break;
        }
        let proxy = &proxies[round % proxies.len()];
        trouble(proxy, &mut rng);
        sleep(LEASE.mul_f64(0.3 + 1.5 * rng.f64())).await;
        mend(proxy);
    }
    proxies.iter().for_each(mend);
    for writer in writers {
        writer.stop().await?;
    }
    let turns = disk.audit().inspect_err(|_| println!("seed {seed}"))?;
    println!("{} turns", turns.len());
    assert!(turns.len() >= TURNS, "hardly ever did one take over (seed {seed})");
    disk.remove()
}
