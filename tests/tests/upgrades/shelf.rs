//! The scripts and the library that a private server finds: links to the package, which a test lays more beside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use volguard_tests::{Package, PostgresInstall, PrivateServer, Profile};

/// The scripts of released versions, in `sql/` of this tree.
pub struct Released {
    pub version: String,
    pub script: String,
}

/// All that were released, in the order of their names.
pub fn released() -> anyhow::Result<Vec<Released>> {
    let mut released = Vec::new();
    for file in fs::read_dir(root().join("sql"))? {
        let file = file?.path();
        let name = file.file_name().and_then(|name| name.to_str()).context("a name")?;
        let version = name.strip_prefix("volguard--").and_then(|name| name.strip_suffix(".sql"));
        if let Some(version) = version.filter(|version| !version.contains("--")) {
            released.push(Released { version: version.to_owned(), script: fs::read_to_string(&file)? });
        }
    }
    released.sort_by(|one, other| one.version.cmp(&other.version));
    Ok(released)
}

/// The root of the tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The script that this tree makes: what the package has.
pub fn made() -> anyhow::Result<String> {
    let install = PostgresInstall::find()?;
    let package = Package::from_env_or_build(&install, Profile::Debug)?;
    let script = format!("extension/volguard--{}.sql", crate::CURRENT);
    let file = below(package.root(), install.share_dir()).join(script);
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// Lays a script, `volguard--VERSION.sql` or `volguard--FROM--TO.sql`, beside those of the server's package.
pub fn lay(server: &PrivateServer, versions: &str, script: &str) -> anyhow::Result<()> {
    let share = below(&installation(server)?, PostgresInstall::find()?.share_dir());
    let file = share.join(format!("extension/volguard--{versions}.sql"));
    // Through a link it would be written into the package.
    anyhow::ensure!(!file.is_symlink(), "the package has {}", file.display());
    Ok(fs::write(&file, script)?)
}

/// Has another build's library take the place of the server's, as a package of the operating system does: renamed, so
/// that the old one stays with those that have it mapped.
pub fn replace_library(server: &PrivateServer, profile: Profile) -> anyhow::Result<()> {
    let install = PostgresInstall::find()?;
    let package = Package::from_env_or_build(&install, profile)?;
    let new = below(package.root(), install.library_dir()).join("volguard.so");
    let old = below(&installation(server)?, install.library_dir()).join("volguard.so");
    let beside = old.with_extension("new");
    fs::copy(&new, &beside)?;
    Ok(fs::rename(&beside, &old)?)
}

/// The server's own copy of the installation.
fn installation(server: &PrivateServer) -> anyhow::Result<PathBuf> {
    Ok(server.socket_dir().parent().context("the server's directory")?.join("installation"))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
