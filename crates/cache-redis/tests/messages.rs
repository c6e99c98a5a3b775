//! Each fault of a server is one message: what happened, where, what to do. The texts are what users read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod throwaway;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use downbeat_cache_redis::{Options, Password, RedisCache};
use downbeat_core::cache::{Agents, CacheError, Tasks};
use throwaway::sentinel::{master, replica_of};
use throwaway::work::{claim, plan, repeated, settle, token};
use throwaway::{Server, free_port, until};

async fn open(server: &Server) -> RedisCache {
    RedisCache::connect(Options::new(server.url())).await.unwrap()
}

/// What is said when it cannot be opened.
async fn refused(options: Options) -> String {
    let error = RedisCache::connect(options).await.expect_err("refused");
    let said = error.to_string();
    assert!(!format!("{error:?} {said}").contains("secret"), "{said}");
    said
}

/// What a verb says. It may be asked again: nothing was lost.
fn unavailable<T: std::fmt::Debug>(answer: Result<T, CacheError>) -> String {
    match answer {
        Err(error @ CacheError::Unavailable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Compares, with the address left out.
#[track_caller]
fn says(said: &str, expected: &str) {
    let place = said.split("place=`").nth(1).and_then(|rest| rest.split('`').next()).unwrap_or_default();
    let said = if place.is_empty() { said.to_owned() } else { said.replace(place, "HERE") };
    assert_eq!(said, expected);
}

#[tokio::test]
async fn nobody_listens() {
    let said = refused(Options::new(format!("redis://user:secret@127.0.0.1:{}", free_port()))).await;
    says(
        &said,
        "nobody listens there; start the Redis server, or correct host and port place=`HERE` \
         said=`Connection refused (os error 111)`",
    );
    says(
        &refused(Options::new("redis+unix:///nowhere/redis.sock?pass=secret")).await,
        "there is no such socket; start the Redis server, or correct the path to its unixsocket place=`HERE` \
         said=`No such file or directory (os error 2)`",
    );
}

#[tokio::test]
async fn a_name_has_no_address() {
    let said = refused(Options::new("redis://user:secret@no-such-host.invalid")).await;
    assert!(
        said.starts_with(
            "the host's name has no address; correct it, or look at the name server \
             place=`no-such-host.invalid:6379`"
        ),
        "{said}"
    );
}

#[tokio::test]
async fn a_url_is_none() {
    let begins = "not a URL of a Redis server, such as redis://HOST:6379/0, rediss://…, redis+unix:///SOCKET, \
                  redis+sentinel://HOST:26379/MASTER or redis+cluster://HOST:6379: ";
    for (url, what) in [
        ("http://user:secret@host", "Redis URL did not parse"),
        ("redis://user:secret@host:99999", "Redis URL did not parse"),
        ("redis://user:secret@host/db", "Invalid database number"),
        ("redis+sentinel://user:secret@host", "it names no master: redis+sentinel://host:26379/mymaster"),
    ] {
        says(&refused(Options::new(url)).await, &format!("{begins}{what}"));
    }
}

#[tokio::test]
async fn a_database_is_not_there() {
    let server = Server::start();
    let url = match server.url().split_once('?') {
        Some((path, more)) => format!("{path}?db=99&{more}"),
        None => format!("{}?db=99", server.url()),
    };
    says(
        &refused(Options::new(url)).await,
        "the Redis server has no such database; write a number below its `databases` at the end of the URL: 0 to \
         15, unless it is set otherwise place=`HERE` said=`ERR DB index is out of range`",
    );
}

#[tokio::test]
async fn a_password_is_missing_or_wrong() {
    let server = Server::start_with(&["--requirepass", "secret"]);
    let with = |password| Options { password, ..Options::new(server.url()) };
    says(
        &refused(with(Password::Url)).await,
        "the Redis server wants a password and was given none; give one in a file, an environment variable or \
         the URL place=`HERE` said=`NOAUTH Authentication required.`",
    );
    let wrong = "the Redis server refuses the user or the password; check both; on the server, ACL LIST names \
                 its users place=`HERE`";
    says(&refused(with(Password::Text("secret-other".to_owned()))).await, wrong);
    let user = Options { user: Some("nobody".to_owned()), ..with(Password::Text("secret".to_owned())) };
    says(&refused(user).await, wrong);
    says(
        &refused(with(Password::File("/nowhere/password".into()))).await,
        "the file cannot be read path=`/nowhere/password`",
    );
    says(
        &refused(with(Password::File("/dev/zero".into()))).await,
        "the file cannot be read path=`/dev/zero`",
    );
    says(
        &refused(with(Password::Env("DOWNBEAT_NO_SUCH_PASSWORD".to_owned()))).await,
        "the environment variable for the password is not set name=`DOWNBEAT_NO_SUCH_PASSWORD`",
    );

    let file = server.directory().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    RedisCache::connect(with(Password::File(file))).await.unwrap();
}

#[tokio::test]
async fn a_user_lacks_a_right() {
    let server = Server::start();
    // What docs/redis.md lists.
    let rights = rights_of_the_page();
    let mut set = vec!["ACL", "SETUSER", "ann", "on", ">pw", "~d:*", "&d:*"];
    set.extend(rights.iter().map(String::as_str));
    server.ask(&set);
    let options = || Options {
        user: Some("ann".to_owned()),
        password: Password::Text("pw".to_owned()),
        prefix: "d:".to_owned(),
        wait_replicas: 0,
        ..Options::new(server.url())
    };
    let cache = RedisCache::connect(options()).await.unwrap();
    cache.plan(&plan("g", "a; b")).await.unwrap();
    let held = token(&cache, "one").await;
    cache.settle(&settle("a", held)).await.unwrap();

    server.ask(&["ACL", "SETUSER", "ann", "-info"]);
    let said = refused(options()).await;
    assert!(said.starts_with("the Redis user lacks a right; grant it with ACL SETUSER"), "{said}");
    assert!(said.contains("info"), "{said}");
    server.ask(&["ACL", "SETUSER", "ann", "+info", "-hset"]);
    let said = unavailable(cache.claim(&claim("two")).await);
    assert!(said.contains("the Redis user lacks a right") && said.contains("hset"), "{said}");
    server.ask(&["ACL", "SETUSER", "ann", "+hset", "resetkeys", "~e:*"]);
    let said = unavailable(cache.claim(&claim("two")).await);
    assert!(said.contains("the Redis user lacks a right") && said.contains("key"), "{said}");
}

/// The rights that docs/redis.md tells users to grant.
fn rights_of_the_page() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md")).unwrap();
    let line = page.lines().find(|line| line.contains("ACL SETUSER downbeat")).expect("the page has it");
    line.split_whitespace().filter(|word| word.starts_with('+')).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_server_is_too_old() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut asked).await {
                    let text = String::from_utf8_lossy(&asked[..read]).to_uppercase();
                    let mut answer = String::new();
                    for _ in text.matches("\r\nCLIENT\r\n") {
                        answer += "+OK\r\n";
                    }
                    if text.contains("INFO\r\n") && !text.contains("SETINFO\r\n$8") {
                        let info = "redis_version:6.2.14\r\nrole:master\r\n";
                        answer += &format!("${}\r\n{info}\r\n", info.len());
                    }
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    says(
        &refused(Options::new(url)).await,
        "a Redis server of version 7 or later is needed, or Valkey; upgrade it place=`HERE` version=`6.2.14`",
    );
}

#[tokio::test]
async fn a_server_evicts() {
    let server = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    says(
        &refused(Options::new(server.url())).await,
        "the Redis server evicts keys when its memory is full, and tasks with them; set maxmemory-policy to \
         noeviction, or allow eviction place=`HERE` maxmemory-policy=`allkeys-lru`",
    );
}

#[tokio::test]
async fn a_server_is_a_replica() {
    let first = master(&[]);
    let replica = replica_of(&first, &[]);
    let expected = "the Redis server is a replica and takes no writes; connect to its master, or through \
                    sentinels: redis+sentinel://host/mymaster place=`HERE`";
    says(&refused(Options::new(replica.url())).await, expected);
    // Or it becomes one.
    let cache = open(&first).await;
    cache.plan(&plan("g", "a")).await.unwrap();
    first.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let said = unavailable(cache.claim(&claim("one")).await);
    says(&said, &format!("the store is not available: {expected}"));
    first.ask(&["REPLICAOF", "NO", "ONE"]);
    token(&cache, "one").await;
}

#[tokio::test]
async fn memory_is_full() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let said = unavailable(cache.plan(&plan("h", "c")).await);
    assert!(
        said.starts_with(
            "the store is not available: the Redis server's memory is full, so that nothing was written; raise \
             its maxmemory, or archive finished goals; what is stored is safe place=`"
        ),
        "{said}"
    );
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    cache.plan(&plan("h", "c")).await.unwrap();
    token(&cache, "one").await;
}

#[tokio::test]
async fn the_disk_is_full() {
    let server = Server::start_with(&["--enable-protected-configs", "yes"]);
    let cache = open(&server).await;
    cache.plan(&plan("g", "a")).await.unwrap();
    // No file can be written where a directory has its name.
    std::fs::create_dir_all(server.directory().join("blocked.rdb/x")).unwrap();
    server.ask(&["CONFIG", "SET", "dbfilename", "blocked.rdb"]);
    server.ask(&["CONFIG", "SET", "save", "3600 1"]);
    server.ask(&["BGSAVE"]);
    until("the snapshot failed", || server.info("rdb_last_bgsave_status") == "err");
    let said = unavailable(cache.claim(&claim("one")).await);
    assert!(
        said.starts_with(
            "the store is not available: the Redis server refuses writes because it cannot save to its disk; \
             make room there and look at its log; what is stored is safe place=`"
        ),
        "{said}"
    );
    assert!(cache.facts().await.unwrap().risks.iter().any(|risk| risk.contains("last snapshot failed")));
    server.ask(&["CONFIG", "SET", "save", ""]);
    token(&cache, "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebodys_script_does_not_end() {
    let server = Server::start_with(&["--busy-reply-threshold", "50"]);
    let cache = open(&server).await;
    cache.plan(&plan("g", "a")).await.unwrap();
    let url = server.url();
    let script = std::thread::spawn(move || {
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut connection)
    });
    until("the server is busy", || server.try_ask(&["PING"]).is_err());
    let said = unavailable(cache.claim(&claim("one")).await);
    says(
        &said,
        "the store is not available: the Redis server is busy with a long script; wait for it; if it is not \
         Downbeat's, SCRIPT KILL ends one that wrote nothing place=`HERE` said=`BUSY Redis is busy running a \
         script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.`",
    );
    server.ask(&["SCRIPT", "KILL"]);
    assert!(script.join().unwrap().is_err());
    token(&cache, "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_reads_its_data() {
    let mut server = Server::start_with(&[
        "--enable-debug-command",
        "yes",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    let before = token(&cache, "one").await;
    server.ask(&["DEBUG", "POPULATE", "20000"]);
    server.ask(&["SAVE"]);
    server.ask(&["CONFIG", "SET", "appendonly", "no"]);
    // From now on it takes 100 µs a key, about two seconds, to read them again.
    server.kill();
    server.reconfigure(&["--appendonly", "no", "--key-load-delay", "200"]);
    server.again();
    let claimed = unavailable_or(cache.claim(&claim("two")).await);
    if let Err(said) = &claimed {
        assert!(said.contains("still reads its data from disk; wait until it is done"), "{said}");
    }
    // Whoever opens it waits.
    let other = open(&server).await;
    assert!(token(&other, "three").await > before);
}

fn unavailable_or<T: std::fmt::Debug>(answer: Result<T, CacheError>) -> Result<T, String> {
    match answer {
        Err(error @ CacheError::Unavailable { .. }) => Err(error.to_string()),
        other => Ok(other.unwrap()),
    }
}

#[tokio::test]
async fn somebody_else_uses_the_names() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a")).await.unwrap();
    server.ask(&["DEL", "index:leases"]);
    server.ask(&["SET", "index:leases", "x"]);
    match cache.claim(&claim("one")).await {
        Err(error @ CacheError::Corrupt { .. }) => {
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(
                source.starts_with(
                    "a key of this deployment has a type that Downbeat never writes; another program uses the \
                     same names: give one of both a prefix of its own place=`"
                ),
                "{source}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_takes_connections_of_its_machine_alone() {
    // Only a connection from another machine is refused, so that the server is played.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(
                b"-DENIED Redis is running in protected mode because protected mode is enabled.\r\n",
            );
            let mut asked = Vec::new();
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = stream.read_to_end(&mut asked);
        }
    });
    says(
        &refused(Options::new(url)).await,
        "the Redis server is in protected mode: it takes connections of its own machine alone; give its users a \
         password, or bind it to the right interface place=`HERE`",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_asked_and_do_not_answer() {
    let first = master(&[]);
    let replica = replica_of(&first, &[]);
    let options = Options { wait_replicas: 1, ..Options::new(first.url()) };
    let hasty = Options { wait_timeout: Duration::from_millis(300), ..options.clone() };
    let cache = RedisCache::connect(options).await.unwrap();
    let hasty = RedisCache::connect(hasty).await.unwrap();
    cache.plan(&plan("g", "a; b")).await.unwrap();
    assert_eq!(replica.text(&["HGET", "task:a", "status"]), "ready", "the replica has it");
    let held = token(&cache, "one").await;

    replica.signal("STOP");
    let said = unavailable(hasty.settle(&settle("a", held)).await);
    says(
        &said,
        "the store is not available: `settle` was written on the master, but acknowledged by 0 of 1 replicas in \
         time; look at the replicas, and repeat the same request: it has one effect place=`HERE`",
    );
    assert_eq!(first.text(&["HGET", "task:a", "status"]), "done");
    // Claims need no acknowledgement.
    token(&cache, "two").await;
    replica.signal("CONT");
    let settled = repeated!(cache.settle(&settle("a", held)));
    assert!(settled.repeated);
    assert_eq!(replica.text(&["HGET", "task:a", "status"]), "done");
}

#[tokio::test]
async fn sentinels_know_no_master() {
    let expected = "no sentinel names a master that answers; check the name, and SENTINEL MASTERS on one of them \
                    place=`HERE`";
    let nobody = format!("redis+sentinel://user:secret@127.0.0.1:{}/mymaster", free_port());
    let said = refused(Options::new(nobody)).await;
    says(said.split(" master=`").next().unwrap(), expected);
    let watched = throwaway::sentinel::Watched::start();
    let said = refused(Options::new(watched.url().replace("mymaster", "another"))).await;
    says(said.split(" said=`").next().unwrap(), &format!("{expected} master=`another`"));
}

#[tokio::test]
async fn what_is_at_risk_is_said() {
    let server = Server::start_with(&["--appendonly", "no"]);
    let facts = open(&server).await.facts().await.unwrap();
    assert_eq!((facts.kind, facts.role.as_str(), facts.append_only), (kind(), "master", false));
    assert!(facts.clock_ahead_ms.abs() < 1000, "{facts:?}");
    assert_eq!(
        facts.risks,
        [
            "Nothing is kept on disk: when the server ends, everything is lost. Set appendonly yes.",
            "The server's memory has no bound: when the machine's is used up, the kernel may kill it. Set maxmemory."
        ]
    );
    let server = Server::start_with(&["--appendfsync", "always", "--maxmemory", "100mb"]);
    let facts = open(&server).await.facts().await.unwrap();
    assert_eq!(facts.append_fsync.as_deref(), Some("always"));
    assert!(facts.risks.is_empty(), "{:?}", facts.risks);
}

fn kind() -> &'static str {
    if throwaway::program().contains("valkey") { "valkey" } else { "redis" }
}

/// What is corrupt, and why.
fn corrupt<T: std::fmt::Debug>(answer: Result<T, CacheError>) -> (String, String) {
    match answer {
        Err(ref error @ CacheError::Corrupt { ref key, .. }) => {
            (key.clone(), std::error::Error::source(error).map(ToString::to_string).unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_epoch_is_garbage() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    for garbage in ["9999999999999", "134217727", "many", "-1", "1.5", ""] {
        server.ask(&["SET", "epoch", garbage]);
        let said = refused(Options::new(server.url())).await;
        says(
            &said,
            &format!(
                "a key of this deployment is not what Downbeat wrote: it says `{garbage}`; if nothing of the \
                 deployment is needed, remove its keys; if somebody wrote this one by hand, remove it (DEL \
                 `epoch`): a new number is taken, above every earlier one; if another program uses the same names, \
                 give one of both a prefix of its own place=`HERE` key=`epoch`"
            ),
        );
        // Whoever has to look is told, and does not wait.
        server.ask(&["FUNCTION", "FLUSH"]);
        let (key, said) = corrupt(cache.claim(&claim("one")).await);
        assert!(key == "epoch" && said.contains(&format!("it says `{garbage}`")), "{key} {said}");
        assert_eq!(server.text(&["GET", "epoch"]), garbage, "it is left as it is");
    }
    server.ask(&["DEL", "epoch"]);
    server.ask(&["HSET", "epoch", "a", "b"]);
    assert!(refused(Options::new(server.url())).await.contains("it is a hash"));
    // What the message says to do.
    server.ask(&["DEL", "epoch"]);
    let held = token(&open(&server).await, "one").await;
    cache.settle(&settle("a", held)).await.unwrap();
}

#[tokio::test]
async fn a_later_version_laid_the_store_out() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    assert_eq!(server.text(&["GET", "layout"]), "1");
    server.ask(&["SET", "layout", "2"]);
    let said = refused(Options::new(server.url())).await;
    says(
        &said,
        "a later version of Downbeat laid out this deployment; update downbeat place=`HERE` layout=2 known=1",
    );
    // One from before there was this key.
    server.ask(&["DEL", "layout"]);
    says(
        &refused(Options::new(server.url())).await,
        "a version of Downbeat from before its first release laid out this deployment, and this one reads it no \
         more; give it another prefix, or remove its keys place=`HERE`",
    );
}

#[tokio::test]
async fn another_programs_tasks_are_there() {
    let server = Server::start();
    server.ask(&["HSET", "shop:task:task-001", "status", "ready"]);
    server.ask(&["HSET", "dag:demo:nodes", "task-001", "{}"]);
    let said = refused(Options::new(server.url())).await;
    says(
        &said,
        "another program's tasks lie under the same names, as those of Downbeat's predecessor do: nothing was \
         written; give this deployment a prefix of its own, or remove those keys place=`HERE` key=`dag:demo:nodes`",
    );
    assert_eq!(server.ask(&["DBSIZE"]), redis::Value::Int(2), "nothing was written");
    let with = |prefix: &str| Options { prefix: prefix.to_owned(), ..Options::new(server.url()) };
    assert!(refused(with("shop:")).await.contains("key=`shop:task:task-001`"));
    // The page's advice.
    let cache = RedisCache::connect(with("ours:")).await.unwrap();
    cache.plan(&plan("g", "a")).await.unwrap();
    RedisCache::connect(with("ours:")).await.unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("good", "a")).await.unwrap();
    cache.plan(&plan("bad", "b")).await.unwrap();
    server.ask(&["HSET", "goal:bad", "status", "weird"]);
    assert_eq!(corrupt(cache.goals().await).0, "goal:bad status");
    server.ask(&["HDEL", "goal:bad", "id", "status"]);
    assert_eq!(corrupt(cache.goals().await).0, "goal:bad status");
    server.ask(&["HSET", "goal:bad", "status", "active", "active", "x"]);
    let (key, said) = corrupt(cache.goals().await);
    assert!(key == "goal:bad" && said.contains("its `active` is no number"), "{key} {said}");
    server.ask(&["SET", "goal:bad", "x"]);
    assert_eq!(corrupt(cache.goals().await).0, "goal:bad");
    cache.register(&downbeat_core::conformance::kit::Kit::registration("ann")).await.unwrap();
    server.ask(&["HSET", "agent:ann:registered", "pid", "x"]);
    assert_eq!(corrupt(cache.agents().await).0, "agent:ann:registered pid");
}

#[tokio::test]
async fn a_goal_is_removed_with_its_event_or_not_at_all() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a")).await.unwrap();
    let held = token(&cache, "one").await;
    cache.settle(&settle("a", held)).await.unwrap();
    server.ask(&["RENAME", "stream:events", "elsewhere"]);
    server.ask(&["SET", "stream:events", "x"]);
    let remove =
        downbeat_core::cache::Remove { goal: downbeat_core::ids::GoalId::new("g").unwrap(), ended_at: None };
    corrupt(cache.remove(&remove).await);
    assert_eq!(server.text(&["HGET", "goal:g", "status"]), "complete", "it is still there");
    assert!(!server.text(&["HGET", "dag:g:nodes", "a"]).is_empty());
    server.ask(&["RENAME", "elsewhere", "stream:events"]);
    assert_eq!(cache.remove(&remove).await.unwrap().tasks, 1);
}
