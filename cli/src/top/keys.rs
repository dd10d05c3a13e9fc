//! What keys do.

use super::state::State;
use crate::section::ALL;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What is to be done after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// Something else is to be read.
    Ask,
    Suspend,
    Quit,
}

pub(super) const HELP: [(&str, &str); 10] = [
    ("1 … 6", "one part alone; again or 0: all parts"),
    ("Tab, Shift-Tab", "the next part, the one before"),
    ("↑ ↓ j k PgUp PgDn Home End", "scroll the part in focus"),
    ("Enter", "the part in focus alone, or all parts"),
    ("/", "only rows with a text in them; Esc: all"),
    ("s, S", "sort the part in focus by the next column, the one before"),
    ("r", "reverse the order"),
    ("p, Space", "pause"),
    ("Ctrl-Z", "suspend"),
    ("q, Ctrl-C", "quit"),
];

pub(super) fn handle(state: &mut State, event: &Event) -> After {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => pressed(state, *key),
        // Whatever else it is, the screen is drawn again.
        _ => After::Nothing,
    }
}

fn pressed(state: &mut State, key: KeyEvent) -> After {
    match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (KeyCode::Char('c'), true) => return After::Quit,
        (KeyCode::Char('z'), true) => return After::Suspend,
        (KeyCode::Char(_), true) => return After::Nothing,
        _ => {}
    }
    if state.is_typing {
        return typed(state, key.code);
    }
    if std::mem::take(&mut state.shows_help) {
        return After::Nothing;
    }
    let page = isize::try_from(state.page.max(2) - 1).unwrap_or(1);
    match key.code {
        KeyCode::Char('q') => return After::Quit,
        KeyCode::Char('?' | 'h') => state.shows_help = true,
        KeyCode::Char('0') => state.is_alone = false,
        KeyCode::Char(digit @ '1'..='6') => {
            let at = digit as usize - '1' as usize;
            state.is_alone = !(state.is_alone && state.focus == at);
            state.focus = at;
        }
        KeyCode::Enter => state.is_alone = !state.is_alone,
        KeyCode::Tab => state.focus = (state.focus + 1) % ALL.len(),
        KeyCode::BackTab => state.focus = (state.focus + ALL.len() - 1) % ALL.len(),
        KeyCode::Up | KeyCode::Char('k') => state.scroll(-1),
        KeyCode::Down | KeyCode::Char('j') => state.scroll(1),
        KeyCode::PageUp => state.scroll(-page),
        KeyCode::PageDown => state.scroll(page),
        KeyCode::Home => state.scroll(isize::MIN),
        KeyCode::End => state.scroll_to(state.focus, usize::MAX),
        KeyCode::Char('/') => state.is_typing = true,
        KeyCode::Esc if !state.filter.is_empty() => {
            state.filter.clear();
            return After::Ask;
        }
        KeyCode::Char(way @ ('s' | 'S')) => {
            state.sort(way == 's');
            return After::Ask;
        }
        // A part's own order has no reverse.
        KeyCode::Char('r') if state.choices[state.focus].sort.is_some() => {
            let reversed = &mut state.choices[state.focus].is_reversed;
            *reversed = !*reversed;
            return After::Ask;
        }
        KeyCode::Char('p' | ' ') => {
            state.is_paused = !state.is_paused;
            return After::Ask;
        }
        _ => {}
    }
    After::Nothing
}

/// A key while the filter is being typed.
fn typed(state: &mut State, code: KeyCode) -> After {
    match code {
        KeyCode::Enter => state.is_typing = false,
        KeyCode::Esc => {
            state.is_typing = false;
            state.filter.clear();
            return After::Ask;
        }
        KeyCode::Backspace => {
            state.filter.pop();
            return After::Ask;
        }
        KeyCode::Char(c) => {
            state.filter.push(c);
            return After::Ask;
        }
        _ => {}
    }
    After::Nothing
}
