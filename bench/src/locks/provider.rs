//! The providers of locks.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    Volguard,
    /// SQL by hand.
    Hand,
    /// Postgres' advisory locks.
    Advisory,
    Etcd,
    Redis,
}

impl Provider {
    pub const RIVALS: [Provider; 4] = [Provider::Hand, Provider::Advisory, Provider::Etcd, Provider::Redis];

    /// Ours and these, in a fixed order.
    pub fn all(rivals: &[Provider]) -> Vec<Provider> {
        let rivals = Provider::RIVALS.into_iter().filter(|one| rivals.contains(one));
        std::iter::once(Provider::Volguard).chain(rivals).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Provider::Volguard => "volguard",
            Provider::Hand => "hand",
            Provider::Advisory => "advisory",
            Provider::Etcd => "etcd",
            Provider::Redis => "redis",
        }
    }
}
