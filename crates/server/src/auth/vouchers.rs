//! What one node tells another of whom it asks for: a JWT, signed with a key that only the nodes have.
//!
//! It is good for as long as a request may be on its way, and for nothing else: no access token is one, and it
//! is no access token.

use std::net::IpAddr;

use motet_model::NodeId;
use serde::{Deserialize, Serialize};

use super::tokens::{ISSUER, LEEWAY_MS, Tokens};

/// For whom it is.
const AUDIENCE: &str = "motet-node";

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    /// The node that asks.
    sub: NodeId,
    /// The address of the client for which it does.
    client: IpAddr,
    /// In ms.
    iat: u64,
}

impl Tokens {
    /// Says that the node asks for a client at this address.
    pub(crate) fn vouch(&self, node: NodeId, client: IpAddr, now_ms: u64) -> String {
        let payload = Payload {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: node,
            client,
            iat: now_ms,
        };
        self.sign_any(&payload, now_ms)
    }

    /// For whom a node asks; `None` if no node has said this, or not just now. A key that is not known here yet is
    /// not looked for: anybody may send something that looks like a voucher.
    pub(crate) fn vouched(&self, voucher: &str, now_ms: u64) -> Option<IpAddr> {
        let (payload, _): (Payload, _) = self.signed(voucher)?.ok()?;
        let is_ours = payload.iss == ISSUER && payload.aud == AUDIENCE;
        (is_ours && payload.iat.abs_diff(now_ms) <= LEEWAY_MS).then_some(payload.client)
    }
}

#[cfg(test)]
mod tests {
    use motet_model::UserId;
    use serde_json::json;

    use super::{
        super::{
            forge::{ed25519, forge, unsigned, with},
            keys::Keys,
        },
        *,
    };

    const NOW_MS: u64 = 1_700_000_000_000;
    const SEED: [u8; 32] = [7; 32];
    const NODE: NodeId = NodeId::from_bytes([1; 16]);

    fn tokens() -> Tokens {
        Tokens::new(None, Keys::from_seeds(&[(SEED, 0)]))
    }

    fn client() -> IpAddr {
        "198.51.100.7".parse().unwrap()
    }

    #[test]
    fn a_voucher_is_good_for_a_moment() {
        let tokens = tokens();
        let voucher = tokens.vouch(NODE, client(), NOW_MS);
        for (now_ms, is_good) in [
            (NOW_MS, true),
            (NOW_MS + LEEWAY_MS, true),
            (NOW_MS - LEEWAY_MS, true),
            (NOW_MS + LEEWAY_MS + 1, false),
            (NOW_MS - LEEWAY_MS - 1, false),
        ] {
            let vouched = tokens.vouched(&voucher, now_ms);
            assert_eq!(vouched, is_good.then(client), "{now_ms}");
        }
        assert!(tokens.verify(&voucher, NOW_MS).is_err());
    }

    #[test]
    fn nobody_else_vouches() {
        let tokens = tokens();
        let user = UserId::from_bytes([5; 16]);
        let (access, _) = tokens.sign(user, "Ada", None, NOW_MS, 60_000);
        let kid = jsonwebtoken::decode_header(&access).unwrap().kid;
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid });
        let payload = json!({
            "iss": "motet", "aud": "motet-node", "sub": NODE.to_string(), "client": "198.51.100.7",
            "iat": NOW_MS,
        });
        let good = forge(&header, &payload, &ed25519(SEED));
        assert_eq!(tokens.vouched(&good, NOW_MS), Some(client()));
        for bad in [
            String::new(),
            "1".to_owned(),
            "198.51.100.7".to_owned(),
            access,
            forge(&header, &payload, &unsigned()),
            forge(&header, &payload, &ed25519([8; 32])),
            forge(
                &header,
                &with(&payload, &json!({ "aud": "motet" })),
                &ed25519(SEED),
            ),
            forge(
                &header,
                &with(&payload, &json!({ "aud": null })),
                &ed25519(SEED),
            ),
            forge(
                &header,
                &with(&payload, &json!({ "iss": "other" })),
                &ed25519(SEED),
            ),
            forge(
                &header,
                &with(&payload, &json!({ "client": "nowhere" })),
                &ed25519(SEED),
            ),
        ] {
            assert_eq!(tokens.vouched(&bad, NOW_MS), None, "{bad}");
        }
    }
}
