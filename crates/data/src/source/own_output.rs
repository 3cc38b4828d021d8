//! The files that this program writes its own output to: `percept train --data . > log.txt`.

use crate::identity::Identity;

/// What the standard output and the standard error are, where they are files.
#[cfg(unix)]
pub(super) fn identities() -> Vec<Identity> {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::path::Path;

    let (output, errors) = (std::io::stdout(), std::io::stderr());
    let files = [output.as_fd(), errors.as_fd()].map(|descriptor| descriptor.try_clone_to_owned().map(File::from));
    let of = |file: File| {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Identity::of(Path::new(""), &metadata))
    };
    files.into_iter().flatten().filter_map(of).collect()
}

#[cfg(not(unix))]
pub(super) fn identities() -> Vec<Identity> {
    Vec::new()
}
