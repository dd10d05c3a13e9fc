//! The screen.

use super::keys::HELP;
use super::room::shares;
use super::state::State;
use crate::query::Row;
use crate::section::ALL;
use crate::table::{GAP, Layout, visible_row};
use crate::text::{age, clipped, visible};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// How much of a filter the first line shows.
const LONGEST: usize = 24;
const BAR: Style = Style::new().add_modifier(Modifier::REVERSED);
const KEYS: &str = "1-6 one  0 all  Tab next  / filter  s sort  r reverse  p pause  ? help  q quit";

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = vec![head(state, width)];
    if let Some((time, problem)) = state.lost_for() {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let text = format!("no answer for {}, trying again: {}", age(seconds), visible(problem));
        lines.push(Line::styled(clipped(&text, width).into_owned(), Style::new().fg(Color::White).bg(Color::Red)));
    }
    let room = height.saturating_sub(lines.len() + 1);
    let body = match state.shows_help {
        true => help(),
        false => sections(state, width, room),
    };
    lines.extend(body.into_iter().take(room));
    for (at, line) in (area.y..area.bottom()).zip(lines) {
        frame.render_widget(line, Rect { y: at, height: 1, ..area });
    }
    let last = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    frame.render_widget(foot(state, width), last);
}

/// Which database it is, and when.
fn head(state: &State, width: usize) -> Line<'static> {
    let mut right = String::new();
    if !state.filter.is_empty() {
        right += &format!("filter: {}  ", clipped(&visible(&state.filter), LONGEST));
    }
    if state.is_paused {
        right += "paused  ";
    }
    let left = match &state.snapshot {
        None => "volguard  waiting for the first answer".to_owned(),
        Some(it) => {
            right += &visible(&it.time);
            format!("volguard  {} as {}, {}", visible(&it.database), visible(&it.role), visible(&it.kind))
        }
    };
    let taken = crate::text::width(&right);
    let left = clipped(&left, width.saturating_sub(taken + 1)).into_owned();
    let gap = width.saturating_sub(crate::text::width(&left) + taken);
    Line::styled(format!("{left}{}{right}", " ".repeat(gap)), Style::new().add_modifier(Modifier::BOLD))
}

fn foot(state: &State, width: usize) -> Line<'static> {
    let text = match (state.is_typing, &state.choices[state.focus]) {
        (true, _) => format!("filter: {}▏  Enter keeps it, Esc drops it", visible(&state.filter)),
        (false, choice) => match choice.sort.and_then(|at| ALL[state.focus].columns.get(at)) {
            Some(column) => {
                let way = if choice.is_reversed { "down" } else { "up" };
                format!("{} sorted by {}, {way}  s next  r reverse  ? help", ALL[state.focus].name, column.title)
            }
            None => KEYS.to_owned(),
        },
    };
    let text = clipped(&text, width).into_owned();
    let gap = width.saturating_sub(crate::text::width(&text));
    Line::styled(text + &" ".repeat(gap), BAR)
}

fn help() -> Vec<Line<'static>> {
    let key = |(keys, what): &(&str, &str)| Line::raw(format!("  {keys:<28}{what}"));
    std::iter::once(Line::raw("")).chain(HELP.iter().map(key)).collect()
}

fn sections(state: &mut State, width: usize, room: usize) -> Vec<Line<'static>> {
    let Some(snapshot) = &state.snapshot else { return Vec::new() };
    let empty = (Vec::new(), 0);
    let all: Vec<&(Vec<Row>, u64)> = (0..ALL.len()).map(|at| snapshot.sections.get(at).unwrap_or(&empty)).collect();
    let shown: Vec<usize> = if state.is_alone { vec![state.focus] } else { (0..ALL.len()).collect() };
    let counts: Vec<usize> =
        shown.iter().map(|at| all[*at].0.len() - state.scrolled[*at].min(all[*at].0.len())).collect();
    let focus = shown.iter().position(|at| *at == state.focus).unwrap_or(0);
    let shares = shares(&counts, focus, room.saturating_sub(shown.len()));
    let mut lines = Vec::new();
    for (at, share) in shown.iter().zip(&shares) {
        let (rows, count) = all[*at];
        let from = state.scrolled[*at].min(rows.len());
        lines.extend(section(state, *at, &rows[from..(from + share).min(rows.len())], *count, width));
    }
    state.page = shares.get(focus).copied().unwrap_or(1);
    lines
}

/// A bar with the name of the section, the number of its rows and the titles of its columns, and the rows.
fn section(state: &State, at: usize, rows: &[Row], count: u64, width: usize) -> Vec<Line<'static>> {
    let section = ALL[at];
    let above = if state.scrolled[at] > 0 { format!(" ↑{}", state.scrolled[at]) } else { String::new() };
    let title = format!("{} {} {count}{above}", at + 1, section.name.to_uppercase());
    let visible: Vec<_> = rows.iter().map(|row| visible_row(section, row)).collect();
    let layout = Layout::titled(section, &visible, width, Some(&title));
    let (base, sorted) = match at == state.focus {
        true => (BAR.add_modifier(Modifier::BOLD), state.choices[at].sort),
        false => (BAR.fg(Color::DarkGray), state.choices[at].sort),
    };
    let titles = layout.titles().into_iter().map(|(column, text)| {
        let style = if sorted == Some(column) { base.add_modifier(Modifier::UNDERLINED) } else { base };
        Span::styled(text, style)
    });
    let mut bar = between(titles, Span::styled(" ".repeat(GAP), base));
    let taken: usize = bar.iter().map(Span::width).sum();
    bar.push(Span::styled(" ".repeat(width.saturating_sub(taken)), base));
    let mut lines = vec![Line::from(bar)];
    for row in &visible {
        let cells = layout.cells(row).into_iter().map(|cell| {
            let style = match cell.trim() {
                "down" | "dead" | "broken" | "rule_failed" | "forced" => Style::new().fg(Color::Red),
                "up" | "yes" => Style::new().fg(Color::Green),
                _ => Style::new(),
            };
            Span::styled(cell, style)
        });
        lines.push(Line::from(between(cells, Span::raw(" ".repeat(GAP)))));
    }
    lines
}

fn between(spans: impl Iterator<Item = Span<'static>>, gap: Span<'static>) -> Vec<Span<'static>> {
    let mut all: Vec<Span<'static>> = spans.flat_map(|span| [span, gap.clone()]).collect();
    all.pop();
    all
}
