//! A Redis Cluster on this machine.

use super::{Server, free_port, until};

/// As the specification says.
const SLOTS: u16 = 16384;

/// Three masters, and replicas if asked for.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

/// One node that knows no other.
pub(crate) fn node(arguments: &[&str]) -> Server {
    Server::start_at(|port| {
        let bus = free_port().to_string();
        let mut all: Vec<String> = [
            ["--port", &port.to_string()],
            ["--cluster-enabled", "yes"],
            ["--cluster-port", &bus],
            ["--cluster-announce-ip", "127.0.0.1"],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        all
    })
}

impl Cluster {
    /// Starts three masters with a third of the slots each.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let nodes: Vec<Server> = (0..3).map(|_| node(arguments)).collect();
        let bounds = [0, 5461, 10923, SLOTS];
        for (node, range) in nodes.iter().zip(bounds.windows(2)) {
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &range[0].to_string(), &(range[1] - 1).to_string()]);
        }
        let mut cluster = Self { nodes: Vec::new() };
        for node in nodes {
            cluster.meet(node);
        }
        cluster.wait();
        cluster
    }

    fn meet(&mut self, node: Server) {
        if let Some(first) = self.nodes.first() {
            let bus = first.text(&["CLUSTER", "NODES"]);
            let bus = bus.split('@').nth(1).unwrap().split([' ', ',']).next().unwrap().to_owned();
            node.ask(&["CLUSTER", "MEET", "127.0.0.1", &first.port().to_string(), &bus]);
        }
        self.nodes.push(node);
    }

    /// Adds a replica of a node.
    pub(crate) fn replicate(&mut self, master: usize, arguments: &[&str]) {
        let id = self.nodes[master].text(&["CLUSTER", "MYID"]);
        self.meet(node(arguments));
        let replica = self.nodes.last().unwrap();
        until("the replica knows its master", || replica.try_ask(&["CLUSTER", "REPLICATE", &id]).is_ok());
        until("the replica is in step", || replica.info("master_link_status") == "up");
        self.wait();
    }

    /// Until all nodes know all others and serve all slots.
    pub(crate) fn wait(&self) {
        let number = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in &self.nodes {
            until("the cluster serves", || {
                let asked = node.try_ask(&["CLUSTER", "INFO"]).ok();
                let info: String =
                    asked.and_then(|info| redis::from_redis_value(info).ok()).unwrap_or_default();
                info.contains("cluster_state:ok") && info.contains(&number) && info.contains("slots_ok:16384")
            });
        }
    }

    /// Where it is: all nodes.
    pub(crate) fn url(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// The slot of a key.
    pub(crate) fn slot(&self, key: &str) -> u16 {
        redis::from_redis_value(self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key])).unwrap()
    }

    /// Which node has a key's slot.
    pub(crate) fn owner(&self, key: &str) -> usize {
        let slot = self.slot(key);
        let is_owner = |node: &Server| {
            let nodes = node.text(&["CLUSTER", "NODES"]);
            let own = nodes.lines().find(|line| line.contains("myself")).unwrap();
            own.split_whitespace().skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let bound = |text: &str| text.parse::<u16>().ok();
                bound(first).zip(bound(last)).is_some_and(|(first, last)| (first..=last).contains(&slot))
            })
        };
        self.nodes.iter().position(is_owner).unwrap()
    }
}
