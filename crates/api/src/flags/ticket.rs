//! Tickets to the events of one user's flags. A page's `EventSource` sends no headers, so what lets it
//! in stands in the address, and must not be a key: a ticket tells its holder that flags of this one
//! user changed, and nothing else.
//!
//! A ticket is signed with the hash of the key whose holder asked for the flags. So a server knows its
//! tickets after a restart without keeping them, and a key that is revoked takes its tickets along.

use crate::Problem;
use crate::access::Caller;
use crate::key_ring::KeyRing;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use taghouse_model::{AppId, TimestampMs, check_user_id};

/// The events of a user's flags, for the holder of a key.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) app: AppId,
    pub(crate) user: String,
    /// The key's id.
    key: String,
    signature: String,
}

impl Ticket {
    /// As it stands in an address.
    pub(crate) fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("app", self.app.as_str());
        query.append_pair("user", &self.user);
        query.append_pair("key", &self.key);
        query.append_pair("signature", &self.signature);
        query.finish()
    }

    /// Reads a ticket of an address, whoever signed it.
    pub(crate) fn read(
        app: &str,
        user: String,
        key: String,
        signature: String,
    ) -> Result<Self, Problem> {
        check_user_id(&user)?;
        Ok(Self { app: AppId::new(app)?, user, key, signature })
    }
}

impl KeyRing {
    /// A ticket for a caller; `None` where its key was revoked meanwhile.
    pub(crate) fn ticket(&self, caller: &Caller, app: &AppId, user: &str) -> Option<Ticket> {
        let mac = signed(&self.secret_hash(&caller.id)?, app, user)?;
        Some(Ticket {
            app: app.clone(),
            user: user.to_owned(),
            key: caller.id.clone(),
            signature: URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()),
        })
    }

    /// The holder of the key that a ticket was signed with; `None`: there is no such key, or the
    /// signature is not of it.
    pub(crate) fn holder(&self, ticket: &Ticket, now_ms: TimestampMs) -> Option<Caller> {
        let mac = signed(&self.secret_hash(&ticket.key)?, &ticket.app, &ticket.user)?;
        // Takes as long for a signature that is nearly right.
        mac.verify_slice(&URL_SAFE_NO_PAD.decode(&ticket.signature).ok()?).ok()?;
        self.caller_of_key(&ticket.key, now_ms)
    }
}

fn signed(secret: &[u8; 32], app: &AppId, user: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    // An app's name has no line break, so no two pairs are one text.
    mac.update(b"taghouse flag events\n");
    mac.update(app.as_str().as_bytes());
    mac.update(b"\n");
    mac.update(user.as_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_ring::{hash, tests::key};
    use taghouse_catalog::{KeyTerms, SqliteCatalog};

    #[tokio::test]
    async fn a_ticket_is_of_one_user_and_of_a_key_that_works() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let keys = KeyRing::load(&catalog, "local", None).await.unwrap();
        keys.add_key(key("a", "one", KeyTerms { expires_ms: Some(9), ..KeyTerms::default() }))
            .await;
        keys.add_key(key("b", "two", KeyTerms::default())).await;
        let (app, other) = (AppId::new("shop").unwrap(), AppId::new("other").unwrap());
        let caller = keys.caller_of_key("a", 1).unwrap();
        let ticket = keys.ticket(&caller, &app, "ann").unwrap();
        assert_eq!(keys.holder(&ticket, 1).map(|holder| holder.id).as_deref(), Some("a"));
        let again = keys.ticket(&caller, &app, "ann").unwrap();
        assert_eq!(again.query(), ticket.query(), "an address that stays keeps its connection");
        for forged in [
            Ticket { user: "bob".to_owned(), ..ticket.clone() },
            Ticket { app: other, ..ticket.clone() },
            Ticket { key: "b".to_owned(), ..ticket.clone() },
            Ticket { key: "c".to_owned(), ..ticket.clone() },
            Ticket { signature: String::new(), ..ticket.clone() },
        ] {
            assert!(keys.holder(&forged, 1).is_none(), "{}", forged.query());
        }
        let query = ticket.query();
        let secret = URL_SAFE_NO_PAD.encode(hash("one"));
        assert!(!query.contains("one") && !query.contains(&secret), "{query}");
        assert!(keys.holder(&ticket, 9).is_none(), "its key has expired");
        keys.drop_key("a").await;
        assert!(keys.holder(&ticket, 1).is_none(), "its key was revoked");
    }
}
