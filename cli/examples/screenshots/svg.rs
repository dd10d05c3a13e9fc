//! A screen as a picture.

use std::fmt::Write;
use vt100::{Color, Screen};

/// Of a cell, in the units of the picture.
const WIDTH: f32 = 8.4;
const HEIGHT: u16 = 18;
const MARGIN: u16 = 14;
/// Of the bar with the command.
const BAR: u16 = 28;
const BACK: &str = "#1e222a";
const FORE: &str = "#d7dae0";

/// Cells of a line that look the same.
#[derive(PartialEq, Clone)]
struct Look {
    fore: String,
    back: Option<String>,
    is_bold: bool,
    is_underlined: bool,
}

/// The rows up to the last one that has text.
pub(crate) fn picture(screen: &Screen, command: &str) -> String {
    let (_, columns) = screen.size();
    let rows = u16::try_from(screen.contents().trim_end().lines().count()).unwrap_or(1).max(1);
    let (wide, high) = (f32::from(columns) * WIDTH + f32::from(2 * MARGIN), rows * HEIGHT + 2 * MARGIN + BAR);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide:.0}\" height=\"{high}\" viewBox=\"0 0 {wide:.0} {high}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACK}\"/>\n\
         <text x=\"{MARGIN}\" y=\"21\" fill=\"#8b93a1\">$ {}</text>\n",
        escaped(command)
    );
    for row in 0..rows {
        let top = BAR + MARGIN + row * HEIGHT;
        for (from, text, look) in runs(screen, row, columns) {
            line(&mut svg, from, top, &text, &look);
        }
    }
    svg + "</svg>\n"
}

fn line(svg: &mut String, from: u16, top: u16, text: &str, look: &Look) {
    let (x, cells) = (f32::from(MARGIN) + f32::from(from) * WIDTH, text.chars().count() as f32);
    if let Some(back) = &look.back {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"{back}\"/>",
            cells * WIDTH
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let bold = if look.is_bold { " font-weight=\"bold\"" } else { "" };
    let under = if look.is_underlined { " text-decoration=\"underline\"" } else { "" };
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{}\" fill=\"{}\" textLength=\"{:.1}\" xml:space=\"preserve\"{bold}{under}>{}</text>",
        top + 14,
        look.fore,
        cells * WIDTH,
        escaped(text)
    );
}

fn runs(screen: &Screen, row: u16, columns: u16) -> Vec<(u16, String, Look)> {
    let mut runs: Vec<(u16, String, Look)> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else { continue };
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let (mut fore, mut back) = (color(cell.fgcolor()), color(cell.bgcolor()));
        if cell.inverse() {
            (fore, back) = (back.or(Some(BACK.into())), fore.or(Some(FORE.into())));
        }
        let fore = fore.unwrap_or_else(|| FORE.into());
        let look = Look { fore, back, is_bold: cell.bold(), is_underlined: cell.underline() };
        match runs.last_mut() {
            Some((_, before, same)) if *same == look => before.push_str(text),
            _ => runs.push((column, text.to_owned(), look)),
        }
    }
    runs
}

fn color(color: Color) -> Option<String> {
    let name = match color {
        Color::Default => return None,
        Color::Rgb(red, green, blue) => return Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Idx(1 | 9) => "#e06c75",
        Color::Idx(2 | 10) => "#98c379",
        Color::Idx(8) => "#7f8794",
        Color::Idx(_) => FORE,
    };
    Some(name.to_owned())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
