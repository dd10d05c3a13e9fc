//! The rules that can be broken.

macro_rules! breaches {
    ($($(#[$doc:meta])+ $name:literal $variant:ident;)+) => {
        /// A rule that is broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Breach {
            $($(#[$doc])+ $variant,)+
        }

        impl Breach {
            /// That of a name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

breaches! {
    /// It takes no lock for its own book-keeping.
    "no-log-lock" NoLogLock;
    /// It takes that lock without a wait, again and again.
    "no-wait" NoWait;
    /// Its writes have no fence.
    "unfenced-write" UnfencedWrite;
    /// Heartbeats share the connection of the work.
    "shared-connection" SharedConnection;
    /// The lease is counted from the answer to a heartbeat.
    "from-answer" FromAnswer;
    /// The lease is used to its end, and a little longer.
    "whole-lease" WholeLease;
    /// The clock of the lease stands still while the process does.
    "clock-stops" ClockStops;
    /// When the lease is lost, the work is finished first.
    "works-on" WorksOn;
    /// A heartbeat waits for its answer for ever.
    "patient-heartbeat" PatientHeartbeat;
    /// A heartbeat that is refused is repeated.
    "ignores-fence" IgnoresFence;
    /// What a lost answer of next_work may have brought is not given back.
    "forgets-work" ForgetsWork;
    /// It is given back once, though the lost call may still be under way.
    "gives-back-once" GivesBackOnce;
    /// After a lost answer acquire gets another request id.
    "acquires-anew" AcquiresAnew;
    /// A finish that is refused after a lost answer counts as refused.
    "finish-refused" FinishRefused;
    /// A finish whose answer was lost counts as done.
    "finishes-once" FinishesOnce;
    /// A release is not repeated.
    "releases-once" ReleasesOnce;
    /// A connection that breaks under next_work ends the program.
    "dies-waiting" DiesWaiting;
    /// A connection that breaks between two calls ends the program.
    "dies-idle" DiesIdle;
    /// A server that shuts down ends the program.
    "dies-of-shutdown" DiesOfShutdown;
    /// A piece whose token is refused counts as done.
    "ends-refused" EndsRefused;
    /// It does not clean up after others.
    "no-cleanup" NoCleanup;
    /// After SIGTERM it first does all that waits.
    "takes-more" TakesMore;
    /// While it waits for work it hears no SIGTERM.
    "deaf-waiting" DeafWaiting;
    /// It stops without leaving.
    "stops-registered" StopsRegistered;
    /// It says that it has stopped, though the server can't be reached.
    "stops-unheard" StopsUnheard;
    /// It tries to start for ever.
    "starts-for-ever" StartsForEver;
}
