//! What the file tools do, and what they cannot be made to do. Commands are tried in the tests of the
//! whole program.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::transport::Unobserved;

/// A workspace, and beside it what must not be reached.
struct House {
    top: TempDir,
    tools: Toolbox,
}

const SECRET: &str = "the secret";

impl House {
    fn new() -> Self {
        Self::with(Permissions::Edit)
    }

    fn with(permissions: Permissions) -> Self {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(top.path().join("work/sub")).unwrap();
        std::fs::create_dir(top.path().join("outside")).unwrap();
        std::fs::write(top.path().join("outside/secret"), SECRET).unwrap();
        std::fs::write(top.path().join("work/sub/a.txt"), "one\ntwo\nthree\n").unwrap();
        let work = Work { workspace: top.path().join("work"), permissions, env: Vec::new() };
        let tools = Toolbox::open(&work, None, &[], Arc::new(Unobserved)).unwrap();
        Self { top, tools }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.top.path().join(path)
    }

    async fn call(&self, name: &str, input: Value) -> Result<String, String> {
        self.tools.call(name, input).await
    }

    /// Nothing outside has changed.
    fn is_untouched(&self) {
        assert_eq!(std::fs::read_to_string(self.path("outside/secret")).unwrap(), SECRET);
        assert_eq!(std::fs::read_dir(self.path("outside")).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(self.top.path()).unwrap().count(), 2);
    }
}

#[tokio::test]
async fn a_file_is_written_read_edited_listed_and_found() {
    let house = House::new();
    house.call("write_file", json!({ "path": "new/deep/b.txt", "content": "alpha\nbeta\n" })).await.unwrap();
    house
        .call("edit_file", json!({ "path": "new/deep/b.txt", "old": "beta", "new": "gamma" }))
        .await
        .unwrap();
    let whole = house.path("work/new/deep/b.txt");

    let read = house.call("read_file", json!({ "path": whole })).await.unwrap();
    let part =
        house.call("read_file", json!({ "path": "sub/a.txt", "offset": 1, "limit": 1 })).await.unwrap();
    let listed = house.call("list_files", json!({})).await.unwrap();
    let found = house.call("search", json!({ "pattern": "^gam+a$" })).await.unwrap();

    assert_eq!(read, "alpha\ngamma\n");
    assert_eq!(part, "two\n[… there is more, which was left out; read on with offset 2]\n");
    assert_eq!(listed, "new/\nnew/deep/\nnew/deep/b.txt  12\nsub/\nsub/a.txt  14\n");
    assert_eq!(found, "new/deep/b.txt:2: gamma\n");
    house.is_untouched();
}

#[tokio::test]
async fn a_replaced_file_keeps_its_permissions_and_leaves_no_draft() {
    let house = House::new();
    let script = house.path("work/run.sh");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();

    house.call("write_file", json!({ "path": "run.sh", "content": "#!/bin/sh\ntrue\n" })).await.unwrap();

    assert_eq!(std::fs::metadata(&script).unwrap().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(house.path("work")).unwrap().count(), 2);
}

#[tokio::test]
async fn an_edit_has_to_be_clear() {
    let house = House::new();
    let edit = |old: &str, all: bool| json!({ "path": "sub/a.txt", "old": old, "new": "x", "all": all });
    let none = house.call("edit_file", edit("four", false)).await.unwrap_err();
    let several = house.call("edit_file", edit("t", false)).await.unwrap_err();
    assert!(none.contains("is not in sub/a.txt") && several.contains("2 times"), "{none} {several}");
    house.call("edit_file", edit("t", true)).await.unwrap();
    assert_eq!(std::fs::read_to_string(house.path("work/sub/a.txt")).unwrap(), "one\nxwo\nxhree\n");
}

#[tokio::test]
async fn all_that_is_wrong_with_an_input_is_said_at_once() {
    let house = House::new();
    let faults = house.call("read_file", json!({ "offset": -1, "limit": "x", "file": 1 })).await.unwrap_err();
    for word in ["/offset", "/limit", "path", "file"] {
        assert!(faults.contains(word), "{faults}");
    }
    let text = house.call("write_file", json!("no object")).await.unwrap_err();
    assert!(text.contains("as a whole"), "{text}");
    let unknown = house.call("delete_everything", json!({})).await.unwrap_err();
    assert!(
        unknown.contains("list_files, read_file, search, write_file, edit_file, and `finish`"),
        "{unknown}"
    );
    let pattern = house.call("search", json!({ "pattern": "(" })).await.unwrap_err();
    assert!(pattern.contains("no regular expression"), "{pattern}");
}

#[tokio::test]
async fn who_may_only_plan_may_only_read() {
    let house = House::with(Permissions::Plan);
    let names: Vec<_> = house.tools.specs().into_iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["list_files", "read_file", "search"]);
    assert!(house.call("write_file", json!({ "path": "x", "content": "" })).await.is_err());
    assert!(!house.path("work/x").exists());
}

#[tokio::test]
async fn what_is_long_is_cut_where_one_can_see_it() {
    let house = House::new();
    std::fs::write(house.path("work/long"), "y\n".repeat(100_000)).unwrap();
    std::fs::write(house.path("work/wide"), "z".repeat(1_000_000)).unwrap();
    for index in 0..1_500 {
        std::fs::write(house.path(&format!("work/sub/{index}")), "y").unwrap();
    }
    for (tool, input) in [
        ("read_file", json!({ "path": "long" })),
        ("list_files", json!({})),
        ("search", json!({ "pattern": "y" })),
    ] {
        let said = house.call(tool, input).await.unwrap();
        assert!(said.len() < 60_000 && said.ends_with("]\n") && said.contains("[… there is more"), "{tool}");
    }
    let wide = house.call("read_file", json!({ "path": "wide" })).await.unwrap();
    assert!(wide.len() < 5_000 && wide.contains('…'), "{}", wide.len());
}

/// Paths that lead out, and what is none.
#[rstest]
#[case::absolute("/etc/passwd")]
#[case::parent("../outside/secret")]
#[case::parent_inside("sub/../../outside/secret")]
#[case::through_a_link("link/secret")]
#[case::a_link("file-link")]
#[case::a_whole_link("absolute-link")]
#[case::a_link_to_a_link("twice")]
#[case::proc("proc/self/environ")]
#[case::its_own_process("/proc/self/environ")]
#[case::a_pipe("pipe")]
#[case::a_socket("socket")]
#[case::a_device("/dev/zero")]
#[case::a_linked_device("zero")]
#[case::a_directory("sub")]
#[case::nothing("")]
#[case::a_line_end("a\nb")]
#[case::a_nul("a\0b")]
#[case::a_backslash("..\\outside\\secret")]
#[case::far_too_long("x/../../../../../../../../etc/passwd")]
#[case::a_loop("loop/x")]
#[tokio::test]
async fn no_path_leads_out(#[case] path: &str) {
    let house = House::new();
    let at = |name: &str| house.path(&format!("work/{name}"));
    symlink("../outside", at("link")).unwrap();
    symlink("../outside/secret", at("file-link")).unwrap();
    symlink(house.path("outside/secret"), at("absolute-link")).unwrap();
    symlink("link", at("twice")).unwrap();
    symlink("/proc", at("proc")).unwrap();
    symlink("/dev/zero", at("zero")).unwrap();
    symlink("loop", at("loop")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

    let calls = [
        ("read_file", json!({ "path": path })),
        ("write_file", json!({ "path": path, "content": "broken in" })),
        ("edit_file", json!({ "path": path, "old": SECRET, "new": "broken in" })),
    ];
    for (tool, input) in calls {
        let said =
            tokio::time::timeout(std::time::Duration::from_secs(10), house.call(tool, input)).await.unwrap();
        let said = said.expect_err(tool);
        assert!(!said.contains(SECRET) && !said.contains("root:"), "{tool}: {said}");
    }
    let (listed, found) = (
        house.call("list_files", json!({ "path": path })).await,
        house.call("search", json!({ "pattern": "secret|root", "path": path })).await,
    );
    for said in [listed, found] {
        let said = said.unwrap_or_else(|fault| fault);
        assert!(!said.contains(SECRET) && !said.contains("root:"), "{said}");
    }
    house.is_untouched();
}

#[tokio::test]
async fn a_walk_follows_no_link() {
    let house = House::new();
    symlink("../outside", house.path("work/link")).unwrap();
    symlink("/", house.path("work/root")).unwrap();
    std::fs::write(house.path("work/odd\nname\u{1b}[31m"), SECRET).unwrap();

    let listed = house.call("list_files", json!({})).await.unwrap();
    let found = house.call("search", json!({ "pattern": SECRET })).await.unwrap();

    assert!(listed.contains("link  (a link)\n") && listed.contains("root  (a link)\n"), "{listed}");
    assert_eq!(found.lines().count(), 1, "{found}");
    // A name cannot make itself two lines, or colour them.
    assert!(!listed.contains('\u{1b}') && listed.lines().count() == 5, "{listed}");
}

#[tokio::test]
async fn a_hard_link_is_replaced_and_not_written_through() {
    let house = House::new();
    std::fs::hard_link(house.path("outside/secret"), house.path("work/hard")).unwrap();
    house.call("write_file", json!({ "path": "hard", "content": "new" })).await.unwrap();
    assert_eq!(std::fs::read_to_string(house.path("work/hard")).unwrap(), "new");
    house.is_untouched();
}

#[tokio::test]
async fn the_state_of_the_run_is_not_written_to() {
    let house = House::new();
    for path in [".downbeat/db", "sub/../.downbeat/x"] {
        let said = house.call("write_file", json!({ "path": path, "content": "" })).await.unwrap_err();
        assert!(said.contains("belongs to Downbeat"), "{said}");
    }
    assert!(!house.path("work/.downbeat").exists());
}

/// Somebody puts a link where a directory was, again and again, while files are written and read
/// through it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_made_between_check_and_use_leads_nowhere() {
    let house = House::new();
    std::fs::write(house.path("work/sub/secret"), "harmless").unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (done, sub, aside) = (Arc::clone(&done), house.path("work/sub"), house.path("work/aside"));
        move || {
            let mut swaps = 0_u32;
            while !done.load(Ordering::Relaxed) {
                std::fs::rename(&sub, &aside).unwrap();
                // A writer may have made the directory anew meanwhile.
                swaps += u32::from(symlink("../outside", &sub).is_ok());
                let _ = std::fs::remove_file(&sub);
                while std::fs::rename(&aside, &sub).is_err() {
                    let _ = std::fs::remove_dir_all(&sub);
                }
            }
            swaps
        }
    });

    let (mut wrote, mut read) = (0, 0);
    for round in 0..1_500 {
        let input = json!({ "path": "sub/secret", "content": format!("harmless {round}") });
        wrote += u32::from(house.call("write_file", input).await.is_ok());
        let said = house.call("read_file", json!({ "path": "sub/secret" })).await;
        read += u32::from(said.is_ok());
        assert!(!said.unwrap_or_default().contains(SECRET));
        let found = house.call("search", json!({ "pattern": SECRET })).await.unwrap_or_default();
        assert!(!found.contains(SECRET), "{found}");
    }
    done.store(true, Ordering::Relaxed);
    let swaps = swapping.join().unwrap();

    // Both sides got somewhere, or nothing was tried.
    assert!(wrote > 0 && read > 0 && swaps > 100, "{wrote} {read} {swaps}");
    house.is_untouched();
}

#[test]
fn a_workspace_that_is_not_there_is_said() {
    let work = Work {
        workspace: Path::new("/nowhere/at/all").to_owned(),
        permissions: Permissions::Edit,
        env: Vec::new(),
    };
    let error = Toolbox::open(&work, None, &[], Arc::new(Unobserved)).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all"), "{error}");
}
