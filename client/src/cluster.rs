//! Marking clusters as out of use.

use crate::error::Error;
use crate::handle::Volguard;
use crate::statements;

impl Volguard {
    /// Marks a cluster as out of use, with a reason for people to read, or as in use again.
    ///
    /// Its services are refused nothing: the mark is shown, and [`Cleanup::disabled`](crate::Cleanup::disabled) selects
    /// by it.
    ///
    /// # Errors
    /// [`Error::Database`] with 42704 for a cluster that no service has ever registered in, and 42501 for a role that
    /// has no service there and is not a member of the extension's owner; [`Error::Pool`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the call may have taken effect or not; repeating it is safe.
    pub async fn set_cluster_disabled(&self, cluster: &str, disabled: bool, reason: Option<&str>) -> Result<(), Error> {
        self.row(&statements::SET_CLUSTER_DISABLED, &[&cluster, &disabled, &reason]).await.map(drop)
    }
}
