//! Where the master is: one server, what sentinels say, or the node of a cluster that has our slot.
//!
//! All keys of a deployment lie on one server at a time, so that there is one connection for its verbs,
//! whatever the kind. When it breaks, or the server says that it is the wrong one, the master is looked for
//! anew and the connection made anew: no redirection is followed silently, because behind it may be
//! another history, and so another epoch is due.

mod address;
mod cluster;
pub(crate) mod diagnosis;

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, TlsMode};
use tokio::sync::Mutex;

use crate::connect::ConnectError;
use crate::fault::{Fault, FaultKind};
use crate::options::Options;
use address::{Address, Kind};

/// The way to the master.
pub(crate) struct Link {
    kind: Ways,
    place: String,
    database: i64,
}

enum Ways {
    /// This one.
    Single(Box<Client>),
    /// The one that sentinels name.
    Sentinel(Mutex<Box<SentinelClient>>, String),
    /// The one that has the slot, as one of these says.
    Cluster(Vec<Address>, u16),
}

impl Link {
    /// # Errors
    ///
    /// When an option makes no sense or a file cannot be read. Nothing is connected yet.
    pub(crate) fn new(options: &Options) -> Result<Self, ConnectError> {
        // Fails when there is one already, which will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (kind, addresses) = address::parse(options)?;
        let place = address::places(&addresses);
        let database = addresses.first().map_or(0, |address| address.info.redis_settings().db());
        let bad = |error| ConnectError::url(&error);
        let kind = match kind {
            Kind::Sentinel { master } => {
                let first = addresses.first().ok_or_else(ConnectError::no_host)?;
                let sentinels = addresses.iter().map(|address| address.info.addr().clone());
                let mut builder = SentinelClientBuilder::new(sentinels, &master, SentinelServerType::Master)
                    .map_err(bad)?
                    .set_client_to_redis_db(first.info.redis_settings().db());
                if let Some(user) = first.info.redis_settings().username() {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = first.info.redis_settings().password() {
                    builder = builder.set_client_to_redis_password(password);
                }
                if let Some(user) = &options.sentinel_user {
                    builder = builder.set_client_to_sentinel_username(user);
                }
                if let Some(password) = options.sentinel_password.read()? {
                    builder = builder.set_client_to_sentinel_password(password);
                }
                if let Some(certificates) = &first.certificates {
                    builder = builder
                        .set_client_to_redis_tls_mode(TlsMode::Secure)
                        .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                        .set_client_to_redis_certificates(certificates.clone())
                        .set_client_to_sentinel_certificates(certificates.clone());
                }
                let client = builder.build().map_err(|error| ConnectError::certificates(options, &error))?;
                Ways::Sentinel(Mutex::new(Box::new(client)), master)
            }
            Kind::Cluster => Ways::Cluster(addresses, cluster::slot(&options.key_prefix())),
            Kind::Single => {
                let first = addresses.first().ok_or_else(ConnectError::no_host)?;
                Ways::Single(Box::new(
                    first.client().map_err(|error| ConnectError::certificates(options, &error))?,
                ))
            }
        };
        Ok(Self { kind, place, database })
    }

    /// Where it begins, without a password.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Which of the server's databases.
    pub(crate) const fn database(&self) -> i64 {
        self.database
    }

    /// Whether the master is looked for anew each time.
    pub(crate) const fn is_sentinel(&self) -> bool {
        matches!(self.kind, Ways::Sentinel(..))
    }

    /// Who is the master now.
    pub(crate) async fn master(&self) -> Result<Client, ConnectError> {
        match &self.kind {
            Ways::Single(client) => Ok(Client::clone(client)),
            Ways::Sentinel(sentinels, name) => {
                let mut sentinels = sentinels.lock().await;
                let found = tokio::time::timeout(crate::server::CONNECTION, sentinels.async_get_client());
                let said = match found.await {
                    Ok(Ok(client)) => return Ok(client),
                    Ok(Err(error)) => match Fault::new(&self.place, &error) {
                        fault if fault.kind == FaultKind::Login => return Err(fault.into()),
                        fault => fault.said,
                    },
                    Err(_) => "nothing in time".to_owned(),
                };
                Err(ConnectError::NoMaster { place: self.place.clone(), name: name.clone(), said })
            }
            Ways::Cluster(addresses, slot) => cluster::owner(addresses, *slot, &self.place).await,
        }
    }
}
