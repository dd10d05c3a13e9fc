//! The figures as a picture: pairs a second over the number of clients, own keys beside the hot key.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::contender::Contender;
use super::score::{Line, Score};
use super::turn::Load;
use crate::rounds::Rounds;

const SIZE: (u32, u32) = (1100, 480);
/// Where the legend begins.
const LEGEND: i32 = 930;
const FONT: (&str, u32) = ("sans-serif", 16);
/// The height of one name in the legend.
const LINE: i32 = 24;

/// The points of one contender, one at least: clients, median, lowest and highest round.
type Points = Vec<(f64, f64, f64, f64)>;

pub fn plot(score: &Score, contenders: &[Contender], subtitle: &str, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    draw(&area, score, contenders, subtitle).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn draw(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    score: &Score,
    contenders: &[Contender],
    subtitle: &str,
) -> Result<()> {
    area.fill(&WHITE)?;
    let area = area.titled(
        &format!("Locks taken and given back, a second ({subtitle})"),
        FONT,
    )?;
    let figures = || {
        score
            .lines()
            .flat_map(|line| line.pairs_per_second().collect::<Vec<_>>())
    };
    let pairs = figures().map(on_log_scale).fold(f64::MAX, f64::min)..figures().fold(1.0, f64::max);
    let (area, legend) = area.split_horizontally(LEGEND);
    draw_legend(&legend, contenders)?;
    let panels = area.split_evenly((1, 2));
    for (panel, load) in panels.iter().zip([Load::OwnKeys, Load::HotKey]) {
        let all: Vec<(Contender, Points)> = contenders
            .iter()
            .map(|&one| (one, points(score, load, one)))
            .filter(|(_, points)| !points.is_empty())
            .collect();
        if !all.is_empty() {
            draw_panel(panel, load, &all, &pairs)?;
        }
    }
    area.present()?;
    Ok(())
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    load: Load,
    all: &[(Contender, Points)],
    pairs: &Range<f64>,
) -> Result<()> {
    let clients = all.iter().flat_map(|(_, points)| points);
    let mut ticks: Vec<f64> = clients.map(|&(clients, ..)| clients).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let (fewest, most) = (ticks[0], ticks[ticks.len() - 1]);
    let mut chart = ChartBuilder::on(panel)
        .caption(load.name(), FONT)
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(
            (fewest / 1.2..most * 1.2)
                .log_scale()
                .with_key_points(ticks),
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
    for (contender, points) in all {
        let colour = colour(*contender);
        let medians = points
            .iter()
            .map(|&(clients, median, ..)| (clients, median));
        chart.draw_series(LineSeries::new(medians, colour.stroke_width(2)).point_size(3))?;
        chart.draw_series(points.iter().map(|&(clients, _, low, high)| {
            PathElement::new(
                vec![(clients, low), (clients, high)],
                colour.stroke_width(1),
            )
        }))?;
    }
    Ok(())
}

fn draw_legend(area: &DrawingArea<SVGBackend<'_>, Shift>, contenders: &[Contender]) -> Result<()> {
    for (line, &contender) in (2..).zip(contenders) {
        let (y, colour) = (line * LINE, colour(contender));
        area.draw(&PathElement::new(
            vec![(4, y), (24, y)],
            colour.stroke_width(2),
        ))?;
        let style = FONT.into_font().color(&colour);
        area.draw(&Text::new(contender.name(), (30, y - LINE / 3), style))?;
    }
    Ok(())
}

fn points(score: &Score, load: Load, contender: Contender) -> Points {
    let wanted = |line: &Line<'_>| line.cell.load == load && line.contender == contender;
    let point = |line: Line<'_>| {
        let rounds = Rounds::new(line.pairs_per_second());
        let [low, median, high] =
            [rounds.lowest(), rounds.median(), rounds.highest()].map(on_log_scale);
        (line.cell.clients as f64, median, low, high)
    };
    score.lines().filter(wanted).map(point).collect()
}

/// Nothing at all has no place there.
fn on_log_scale(pairs: f64) -> f64 {
    pairs.max(1.0)
}

fn colour(contender: Contender) -> RGBColor {
    match contender {
        Contender::Volguard => RGBColor(0, 90, 181),
        Contender::Relaxed => RGBColor(86, 170, 233),
        Contender::Hand => RGBColor(0, 0, 0),
        Contender::HandRelaxed => RGBColor(100, 100, 100),
        Contender::Advisory => RGBColor(170, 170, 170),
        Contender::Etcd => RGBColor(213, 94, 0),
        Contender::Redis => RGBColor(180, 30, 80),
    }
}
