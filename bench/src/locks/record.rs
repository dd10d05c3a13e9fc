//! The figures as JSON, for programs.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::score::{Line, Score};
use super::targets::Target;
use super::turn::Load;
use crate::rounds::{Pace, Rounds};

pub fn record(
    machine: &str,
    load: f64,
    servers: &str,
    pace: Pace,
    score: &Score,
    targets: &[Target],
) -> Value {
    json!({
        "machine": machine,
        "load_before": load,
        "servers": servers.lines().collect::<Vec<_>>(),
        "rounds": pace.rounds,
        "seconds_per_turn": pace.turn.as_secs_f64(),
        "targets": targets.iter().map(target).collect::<Vec<_>>(),
        "figures": score.lines().map(|line| figures(&line)).collect::<Vec<_>>(),
    })
}

fn target(target: &Target) -> Value {
    json!({
        "ratio_of": target.what,
        "goal": target.goal,
        "ratio": spread(&target.ratio),
        "reached": target.reached(),
        "by_hand": target.by_hand.as_ref().map(spread),
    })
}

fn figures(line: &Line<'_>) -> Value {
    let mut figures = json!({
        "keys": line.cell.load.name(),
        "clients": line.cell.clients,
        "contender": line.contender.name(),
        "pairs_per_second": spread(&Rounds::new(line.pairs_per_second())),
        "pairs_per_second_by_round": line.pairs_per_second().collect::<Vec<_>>(),
        "server_microseconds_per_pair": spread(&line.server_time()),
        "acquire_ms": quantiles(&line.acquire()),
    });
    if line.cell.load == Load::HotKey {
        figures["hand_over_ms"] = quantiles(&line.hand_over());
        figures["served"] = json!(line.served());
    }
    figures
}

fn spread(rounds: &Rounds) -> Value {
    json!({"median": rounds.median(), "lowest": rounds.lowest(), "highest": rounds.highest()})
}

fn quantiles(times: &Histogram<u64>) -> Value {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e6;
    json!({"count": times.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "most": at(1.0)})
}
