//! Tokens, service ids and event ids never come back and never fall, whatever the sequence behind them has forgotten.

mod copies;
mod draws;
mod forks;
mod movers;
