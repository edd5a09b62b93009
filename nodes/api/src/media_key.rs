//! The media key of a session: drawn at accept, wrapped by SM2 to everybody who may see the call, and
//! forgotten here. Edges and relays are not among them.

use guitai_crypto::sm2::PublicKey;
use guitai_host::Entropy;
use guitai_types::{
    Code, Hex, Problem,
    record::{Participant, WrappedKey},
};
use zeroize::Zeroizing;

/// Draws a key and wraps it to each participant's public key (uncompressed point).
pub(crate) fn draw_and_wrap(
    entropy: &dyn Entropy,
    participants: impl IntoIterator<Item = (Participant, Hex)>,
) -> Result<Vec<WrappedKey>, Problem> {
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut_slice());
    let wrap = |(recipient, public): (Participant, Hex)| {
        let refuse = |why: &str| {
            Problem::new(
                Code::WrongState,
                format!("the public key of {recipient:?} {why}"),
            )
        };
        let public =
            PublicKey::from_point(&public.0).map_err(|_| refuse("is no point of the curve"))?;
        let wrapped = public
            .encrypt(key.as_slice())
            .map_err(|_| refuse("cannot be used"))?;
        Ok(WrappedKey {
            recipient,
            wrapped: Hex(wrapped),
        })
    };
    participants.into_iter().map(wrap).collect()
}

#[cfg(test)]
mod tests {
    use guitai_crypto::sm2::SecretKey;
    use guitai_host::SystemEntropy;

    use super::*;

    #[test]
    fn everybody_opens_the_same_key() -> Result<(), Box<dyn std::error::Error>> {
        let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
        let point = |secret: &SecretKey| Hex(secret.public().to_point().to_vec());
        let wrapped = draw_and_wrap(
            &SystemEntropy,
            [
                (Participant::Customer, point(&customer)),
                (Participant::Agent, point(&agent)),
            ],
        )?;
        let [for_customer, for_agent] = wrapped.as_slice() else {
            return Err("two keys".into());
        };
        assert_eq!(for_customer.recipient, Participant::Customer);
        let opened = customer.decrypt(&for_customer.wrapped.0)?;
        assert_eq!(opened.len(), 32);
        assert_eq!(
            opened.as_slice(),
            agent.decrypt(&for_agent.wrapped.0)?.as_slice()
        );
        Ok(())
    }

    #[test]
    fn a_key_that_is_no_point_is_refused() {
        let bad = draw_and_wrap(&SystemEntropy, [(Participant::Agent, Hex(vec![4; 65]))]);
        assert_eq!(bad.map_err(|problem| problem.code), Err(Code::WrongState));
    }
}
