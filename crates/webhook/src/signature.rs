//! Signatures as Standard Webhooks has them: HMAC-SHA256 over id, time and body.

use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::ops::RangeInclusive;

const PREFIX: &str = "whsec_";

/// Bytes of a secret, as Standard Webhooks has them.
const BYTES: RangeInclusive<usize> = 24..=64;

/// What requests are signed with: one secret, or several while one takes the place of another.
pub(crate) struct SigningSecrets(Vec<Hmac<Sha256>>);

impl SigningSecrets {
    /// Reads secrets with white space between them.
    ///
    /// # Errors
    /// `Secret`.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let secret = |text: &str| {
            let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
            BYTES.contains(&bytes.len()).then(|| Hmac::new_from_slice(&bytes).ok())?
        };
        let secrets: Option<Vec<_>> = text.split_whitespace().map(secret).collect();
        secrets.filter(|secrets| !secrets.is_empty()).map(Self).ok_or(Error::Secret)
    }

    /// The value of `webhook-signature`: a signature for each secret.
    pub(crate) fn sign(&self, id: &str, time_s: i64, body: &[u8]) -> String {
        let signature = |mac: &Hmac<Sha256>| {
            let mut mac = mac.clone();
            mac.update(format!("{id}.{time_s}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.0.iter().map(signature).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_standard() {
        // The example of the specification's own libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let one = SigningSecrets::read(secret).unwrap().sign(id, 1_614_265_330, body);
        assert_eq!(one, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let both = SigningSecrets::read(&format!("{other}\n{secret}")).unwrap();
        let both = both.sign(id, 1_614_265_330, body);
        assert!(both.ends_with(&format!(" {one}")) && both.matches("v1,").count() == 2, "{both}");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        for text in ["", " ", "hunter2", "whsec_", "whsec_!!", short.as_str()] {
            assert!(matches!(SigningSecrets::read(text), Err(Error::Secret)), "{text}");
        }
    }
}
