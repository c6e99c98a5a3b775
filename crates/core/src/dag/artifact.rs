//! The path of an expected artifact: relative to the workspace, and inside it.

/// Why a path names no file inside the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathFault {
    /// Nothing is written.
    #[error("it is empty")]
    Empty,
    /// It starts at the root of the file system.
    #[error("it is absolute; write it relative to the workspace")]
    Absolute,
    /// `..` leaves the workspace.
    #[error("it leads out of the workspace")]
    Outside,
    /// It is the workspace itself.
    #[error("it names the workspace itself, not a file in it")]
    Workspace,
    /// It ends in `/`, `/.` or `/..`.
    #[error("it names a directory, not a file")]
    Directory,
    /// Some systems take `\` for a separator, others for a letter.
    #[error("it has a `\\`; separate the parts with `/`")]
    Backslash,
    /// A character that terminals and C would misread.
    #[error("it has a control character")]
    Control,
    /// Such as `C:`.
    #[error("it names a drive; write it relative to the workspace")]
    Drive,
}

/// `path` in its only spelling: no `.`, no `..`, no empty part, `/` between the parts.
///
/// The rule is one of letters: no file is looked at, so a symbolic link may still lead anywhere.
///
/// # Errors
///
/// [`PathFault`]: the path names no file inside the workspace.
pub fn normalise_path(path: &str) -> Result<String, PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.chars().any(char::is_control) {
        return Err(PathFault::Control);
    }
    if path.contains('\\') {
        return Err(PathFault::Backslash);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    let mut letters = path.chars();
    if letters.next().is_some_and(|c| c.is_ascii_alphabetic()) && letters.next() == Some(':') {
        return Err(PathFault::Drive);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(PathFault::Outside)?;
            }
            _ => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(PathFault::Workspace);
    }
    if matches!(path.rsplit('/').next(), Some("" | "." | "..")) {
        return Err(PathFault::Directory);
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (path, expected) in [
            ("a", Ok("a")),
            ("./a//b", Ok("a/b")),
            ("a/../b.txt", Ok("b.txt")),
            ("a/b/./c", Ok("a/b/c")),
            ("..a/b..", Ok("..a/b..")),
            ("ä ö/ü", Ok("ä ö/ü")),
            ("", Err(PathFault::Empty)),
            (".", Err(PathFault::Workspace)),
            ("a/..", Err(PathFault::Workspace)),
            ("./", Err(PathFault::Workspace)),
            ("a/", Err(PathFault::Directory)),
            ("a/.", Err(PathFault::Directory)),
            ("a/b/..", Err(PathFault::Directory)),
            ("/a", Err(PathFault::Absolute)),
            ("..", Err(PathFault::Outside)),
            ("a/../../b", Err(PathFault::Outside)),
            ("a\\b", Err(PathFault::Backslash)),
            ("a\0b", Err(PathFault::Control)),
            ("a\nb", Err(PathFault::Control)),
            ("C:/a", Err(PathFault::Drive)),
            ("c:a", Err(PathFault::Drive)),
        ] {
            assert_eq!(
                normalise_path(path),
                expected.map(str::to_owned),
                "{path:?}"
            );
            if let Ok(once) = expected {
                assert_eq!(normalise_path(once), Ok(once.to_owned()));
            }
        }
    }
}
