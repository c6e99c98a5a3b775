//! A Redis Cluster: which node has our slot.
//!
//! The client library's own cluster connection follows redirections by itself. Behind one may be a replica
//! that became a master and lacks what the last one said, so that it must not be followed before the epoch
//! was looked at: here each change of nodes is a new connection.

use redis::{Client, ErrorKind, RedisError, Value};

use super::address::Address;
use super::diagnosis;
use crate::connect::ConnectError;
use crate::reply::{list, text};

/// A cluster has this many.
const SLOTS: u16 = 16384;

/// The slot of all keys that begin with `prefix`.
///
/// # Source
///
/// Redis Cluster specification, "Hash tags" and appendix A (CRC-16/XMODEM).
pub(super) fn slot(prefix: &str) -> u16 {
    let tag = prefix
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty())
        .unwrap_or(prefix);
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS
}

/// The master that has a slot, as the first node says that answers.
pub(super) async fn owner(nodes: &[Address], slot: u16, place: &str) -> Result<Client, ConnectError> {
    let mut failed = None;
    for node in nodes {
        match ask(node, slot).await {
            Ok(Some(client)) => return Ok(client),
            Ok(None) => failed = Some(ConnectError::NoSlot { place: place.to_owned(), slot }),
            Err(source) if is_no_cluster(&source) => {
                return node.client().map_err(|error| ConnectError::url(&error));
            }
            Err(source) => {
                let place = node.info.addr().to_string();
                failed = Some(match node.client() {
                    Ok(client) => diagnosis::of(&client, &place, &source).await.into(),
                    Err(_) => ConnectError::of(&place, &source),
                });
            }
        }
    }
    Err(failed.unwrap_or_else(ConnectError::no_host))
}

/// The layout for clusters will do on a single server, too.
fn is_no_cluster(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("cluster support disabled"))
}

async fn ask(node: &Address, slot: u16) -> Result<Option<Client>, RedisError> {
    let client = node.client()?;
    let mut connection = crate::server::multiplexed(&client).await?;
    let ranges: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    for range in list(ranges) {
        let mut parts = list(range).into_iter();
        let (Some(Value::Int(first)), Some(Value::Int(last)), Some(master)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err((ErrorKind::Parse, "not an answer to CLUSTER SLOTS").into());
        };
        if !(first..=last).contains(&i64::from(slot)) {
            continue;
        }
        let mut parts = list(master).into_iter();
        let host = parts.next().and_then(text).filter(|host| !host.is_empty() && host != "?");
        let port = match parts.next() {
            Some(Value::Int(port)) => u16::try_from(port).ok(),
            _ => None,
        };
        let port = port.ok_or(RedisError::from((ErrorKind::Parse, "CLUSTER SLOTS names no port")))?;
        // A node that does not know its own address leaves it out: it is the one that was asked.
        let Some(host) = host.or_else(|| node.host().map(str::to_owned)) else {
            return Ok(None);
        };
        return node.other(host, port).client().map(Some);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::slot;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12182);
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
        assert_eq!(slot("foo{}{bar}"), 8363);
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
    }
}
