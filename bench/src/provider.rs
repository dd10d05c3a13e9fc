//! What volguard is compared with, where that is a choice of the command line.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    Volguard,
    /// SQL by hand.
    Hand,
    /// Postgres' advisory locks.
    Advisory,
    Etcd,
    Redis,
    /// A message broker. It has no locks, the others have no queue.
    RabbitMq,
}

impl Provider {
    pub const RIVALS: [Provider; 5] =
        [Provider::Hand, Provider::Advisory, Provider::Etcd, Provider::Redis, Provider::RabbitMq];

    /// The locks: ours and these, in a fixed order.
    pub fn locks(rivals: &[Provider]) -> Vec<Provider> {
        let rivals = Provider::RIVALS.into_iter().filter(|one| *one != Provider::RabbitMq && rivals.contains(one));
        std::iter::once(Provider::Volguard).chain(rivals).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Provider::Volguard => "volguard",
            Provider::Hand => "hand",
            Provider::Advisory => "advisory",
            Provider::Etcd => "etcd",
            Provider::Redis => "redis",
            Provider::RabbitMq => "rabbitmq",
        }
    }
}
