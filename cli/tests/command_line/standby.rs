//! A standby: what looks works, what writes says where to go.

use crate::support::{ended, run};
use volguard_tests::PrivateServer;

fn start() -> anyhow::Result<(PrivateServer, PrivateServer)> {
    let primary = PrivateServer::builder().durable(false).start()?;
    primary.psql_script("volguard", crate::commands::SCENE)?;
    let standby = PrivateServer::builder().durable(false).start_standby_of(&primary, "standby")?;
    Ok((primary, standby))
}

#[tokio::test]
async fn a_standby_shows_what_there_is_and_refuses_the_rest() -> anyhow::Result<()> {
    let (primary, standby) = tokio::task::spawn_blocking(start).await??;
    let url = standby.url();
    for arguments in [&["status"][..], &["who", "volume/v-1"], &["waiters"], &["events"], &["status", "--json"]] {
        let (code, said, told) = ended(&run(&url, arguments).await?);
        assert_eq!((code, told.as_str()), (Some(0), ""), "{arguments:?} {said}");
    }
    let (_, status, _) = ended(&run(&url, &["status"]).await?);
    assert!(status.contains("volume/v-1") && status.contains("node-3"), "{status}");
    for arguments in
        [&["free", "volume/v-1", "--reason", "x"][..], &["cleanup"], &["lock", "volume/v-8", "--", "false"]]
    {
        let (code, said, told) = ended(&run(&url, arguments).await?);
        assert_eq!((code, said.as_str()), (Some(114), ""), "{arguments:?} {told}");
        assert!(told.contains("25006") && told.contains("target_session_attrs=read-write"), "{arguments:?} {told}");
    }
    // As it advises, with both servers to choose from.
    let (host, primary_url) = ("127.0.0.1", primary.url());
    let (user, _) = primary_url.rsplit_once('@').expect("a user and a password");
    let (first, second) = (standby.port(), primary.port());
    let both = format!("{user}@{host}:{first},{host}:{second}/volguard?target_session_attrs=read-write");
    let (code, _, told) = ended(&run(&both, &["lock", "volume/v-8", "--", "sh", "-c", "exit 4"]).await?);
    assert_eq!((code, told.as_str()), (Some(4), ""));
    Ok(())
}
