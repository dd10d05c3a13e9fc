//! The figures as a picture: pairs a second over the number of clients, own keys beside the hot key.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::locks::{HOT_KEY, OWN_KEYS};
use crate::score::Score;

const SIZE: (u32, u32) = (1000, 480);
const FONT: (&str, u32) = ("sans-serif", 16);

/// One contender's points in one panel: clients, then the lowest, median and highest round.
type Points = Vec<(f64, [f64; 3])>;

pub fn plot(score: &Score, machine: &str, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    draw(&area, score, machine).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, score: &Score, machine: &str) -> Result<()> {
    area.fill(&WHITE)?;
    let title = format!("Locks taken and given back, a second ({machine})");
    let area = area.titled(&title, FONT)?;
    let figures = || score.lines.iter().flat_map(|line| line.per_second().0);
    let pairs = figures().map(on_log_scale).fold(f64::MAX, f64::min)..figures().fold(1.0, f64::max);
    let panels = area.split_evenly((1, 2));
    for (panel, keys) in panels.iter().zip([OWN_KEYS, HOT_KEY]) {
        let mut curves: Vec<(&str, Points)> = Vec::new();
        for line in score.lines.iter().filter(|line| line.cell.what == keys) {
            let point = (line.cell.clients as f64, line.per_second().spread().map(on_log_scale));
            match curves.iter_mut().find(|(name, _)| *name == line.contender) {
                Some((_, points)) => points.push(point),
                None => curves.push((&line.contender, vec![point])),
            }
        }
        if !curves.is_empty() {
            draw_panel(panel, keys, &curves, &pairs)?;
        }
    }
    area.present()?;
    Ok(())
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    keys: &str,
    curves: &[(&str, Points)],
    pairs: &Range<f64>,
) -> Result<()> {
    let clients: Vec<f64> = curves[0].1.iter().map(|&(clients, _)| clients).collect();
    let (fewest, most) = (clients[0], clients[clients.len() - 1]);
    let mut chart = ChartBuilder::on(panel)
        .caption(keys, FONT)
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(
        (fewest / 1.2..most * 1.2).log_scale().with_key_points(clients),
        (pairs.start / 1.5..pairs.end * 1.5).log_scale(),
    )?;
    chart
        .configure_mesh()
        .x_desc("clients")
        .label_style(FONT)
        .light_line_style(WHITE)
        .x_label_formatter(&|clients| format!("{clients:.0}"))
        .y_label_formatter(&|pairs| format!("{pairs:.0}"))
        .draw()?;
    // volguard, the first, on top of the others.
    for (contender, points) in curves.iter().rev() {
        let colour = colour(contender);
        let medians = points.iter().map(|&(clients, [_, median, _])| (clients, median));
        let stroke = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(medians, stroke).point_size(3))?
            .label(*contender)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], stroke));
        chart.draw_series(points.iter().map(|&(clients, [low, _, high])| {
            let rounds = vec![(clients, low), (clients, high)];
            PathElement::new(rounds, colour.stroke_width(1))
        }))?;
    }
    // The hot key is slow: its panel has no room for the legend, the other one has.
    if keys == OWN_KEYS {
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::LowerRight);
        legend.label_font(FONT).margin(16).draw()?;
    }
    Ok(())
}

/// A logarithmic axis has no zero.
fn on_log_scale(pairs: f64) -> f64 {
    pairs.max(1.0)
}

fn colour(contender: &str) -> RGBColor {
    match contender {
        "volguard" => RGBColor(0, 90, 181),
        "advisory" => RGBColor(170, 170, 170),
        "etcd" => RGBColor(213, 94, 0),
        "redis" => RGBColor(180, 30, 80),
        _ => BLACK,
    }
}
